"""Contact sheets that show what a store holds."""
