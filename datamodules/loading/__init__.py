"""An epoch: which frames, in which order, read by processes."""
