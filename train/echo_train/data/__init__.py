"""From a store to batches on the device: frames, splits, loading and the location prior."""
