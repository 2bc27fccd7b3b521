"""Training and evaluation: from a store to a model, its figures and its predictions."""
