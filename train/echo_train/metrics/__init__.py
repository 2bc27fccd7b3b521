"""Metrics of predicted masks and landmarks, per frame and per split."""
