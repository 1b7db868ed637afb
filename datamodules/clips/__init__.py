"""What lies on disk: clips, their masks and splits, what is known of their files."""
