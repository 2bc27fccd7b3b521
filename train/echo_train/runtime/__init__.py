"""Devices, distributed training and reproducible random numbers."""
