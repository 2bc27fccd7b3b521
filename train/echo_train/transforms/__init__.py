"""Batches of images, and their augmentation and corruption on the device."""
