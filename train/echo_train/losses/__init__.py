"""Losses for masks, landmarks and distance maps."""
