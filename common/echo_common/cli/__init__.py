"""Command-line habits that every command shares: settings, exit codes, progress."""
