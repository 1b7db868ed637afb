"""One test: its frames and pixels, intervals, pictures."""
