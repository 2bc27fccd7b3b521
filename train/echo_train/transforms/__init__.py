"""Batches of images and what changes them: augmentation and corruptions, on the device."""
