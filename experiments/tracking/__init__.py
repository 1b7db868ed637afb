"""Weights & Biases: what is logged, offline as well, and sent."""
