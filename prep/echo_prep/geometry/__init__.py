"""From traced points to polygons, landmarks and heatmaps; arrays in, arrays out."""
