"""Many rows: what is to be done, in which order, here or on a cluster."""
