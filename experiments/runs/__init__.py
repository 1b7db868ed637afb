"""A run's folder: what lies in it, who may write it, and what it is known by."""
