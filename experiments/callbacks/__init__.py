"""What Lightning calls while a row is trained and tested; configurations name these classes by this package."""

from .checkpoints import BestCheckpoint, LastCheckpoint, RecentCheckpoint, RunCheckpoint
from .overlays import Overlays
from .predictions import PredictionFile
from .probes import ProbeFrames
from .seeding import SeedEachBatch

__all__ = [
    "BestCheckpoint",
    "LastCheckpoint",
    "Overlays",
    "PredictionFile",
    "ProbeFrames",
    "RecentCheckpoint",
    "RunCheckpoint",
    "SeedEachBatch",
]
