"""Training: from a store to models, numbers and pictures; reads no CSV and no video."""
