"""A trained model, measured on frames of a store."""
