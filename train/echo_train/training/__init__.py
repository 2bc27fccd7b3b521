"""Training of one run: epochs, steps, learning rate and checkpoints."""
