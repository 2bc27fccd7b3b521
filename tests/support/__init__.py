"""Code shared by tests: data sets, stores, faults, reference procedures and strategies."""
