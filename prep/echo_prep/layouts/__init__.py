"""Formats of archives on disk, each read into the same videos and traces."""
