"""`echo-prep synth`: random studies, simulated and written in EchoNet-Dynamic's format."""
