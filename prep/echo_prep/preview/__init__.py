"""Contact sheets of the contents of a store: which panels, how they are drawn and set out."""
