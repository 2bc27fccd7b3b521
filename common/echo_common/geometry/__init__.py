"""Contours and masks: the geometry that tracings and predictions share."""
