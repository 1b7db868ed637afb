"""One clip to crops with their truth."""
