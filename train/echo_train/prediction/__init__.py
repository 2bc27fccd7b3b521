"""A trained model, applied to videos."""
