"""Run folders: their files, names and locks, and the conditions for resuming a run."""
