"""A miniature FaceForensics++ of invented people, for tests and for trying things out."""

from .tree import write_tree

__all__ = ["write_tree"]
