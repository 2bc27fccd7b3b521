"""Devices, processes that train together, and reproducible random numbers."""
