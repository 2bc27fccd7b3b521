"""Archives on disk: tables, tracings and videos, and the list of rejects."""
