"""Archives on disk: tables, tracings and videos, and the list of what is left out."""
