"""`echo-prep synth`: simulated studies, written as a data set in EchoNet-Dynamic's format."""
