"""Writing, checking, converting and describing stores."""
