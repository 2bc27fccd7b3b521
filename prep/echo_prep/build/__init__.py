"""Building a store: plan its rows, find what is missing, and make it in parallel."""
