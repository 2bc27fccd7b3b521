"""The networks and their reconstruction from checkpoints."""
