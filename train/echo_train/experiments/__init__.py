"""Several runs together: the paper's experiments, seeds and folds."""
