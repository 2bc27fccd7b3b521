"""Landmarks and their maps: drawing heatmaps, reading landmarks off, the shape prior."""
