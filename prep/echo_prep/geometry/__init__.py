"""From traced points to polygons, landmarks and heatmaps: functions of arrays, without files."""
