"""Networks, losses, metrics and Lightning modules for pixel-level face forensics; independent of how data is read."""

from .baselines import MeanMask, all_fake, all_real, centre_box, colour_features
from .batch import METHODS, UNKNOWN, Batch
from .classification import ClassificationModule
from .decisions import frame_scores, video_scores
from .encoders import Encoder, normalisation
from .frame_metrics import FrameMetrics
from .losses import bce, dice, frame_loss, pixel_loss
from .metrics import Evaluation
from .networks import Network
from .pixel_metrics import PixelMetrics
from .segmentation import SegmentationModule

__all__ = [
    "METHODS",
    "UNKNOWN",
    "Batch",
    "ClassificationModule",
    "Encoder",
    "Evaluation",
    "FrameMetrics",
    "MeanMask",
    "Network",
    "PixelMetrics",
    "SegmentationModule",
    "all_fake",
    "all_real",
    "bce",
    "centre_box",
    "colour_features",
    "dice",
    "frame_loss",
    "frame_scores",
    "normalisation",
    "pixel_loss",
    "video_scores",
]
