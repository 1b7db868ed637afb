"""Encoders of timm, decoders, and what joins them."""
