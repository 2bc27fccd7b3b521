"""Run folders: their files, their names, and how a run is resumed."""
