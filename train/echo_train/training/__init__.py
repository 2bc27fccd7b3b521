"""Training one run: epochs, steps, learning rate, checkpoints."""
