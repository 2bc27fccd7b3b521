"""Losses of masks, landmark maps and distance maps."""
