"""From a data set to a finished store: plan the rows, find what is missing, make it in parallel."""
