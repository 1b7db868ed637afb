"""What is in a FaceForensics++ folder, what is wrong with it and what is missing."""

from .command import run
from .findings import Finding
from .parts import Part

__all__ = ["Finding", "Part", "run"]
