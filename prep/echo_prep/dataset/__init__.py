"""Reading an archive: its tables, tracings and videos, and what is left out of it."""
