"""Networks, losses, metrics and Lightning modules for pixel-level face forensics; independent of how data is read."""

from .baselines import MeanMask, all_fake, all_real, centre_box, colour_features
from .batch import METHODS, UNKNOWN, Batch
from .classification import ClassificationModule
from .decisions import frame_scores, video_scores
from .encoders import Encoder, normalisation
from .frame_metrics import FrameMetrics
from .losses import bce, dice, focal, frame_loss, lovasz, tversky
from .metrics import Evaluation
from .networks import Network
from .pixel_loss import PixelLoss
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
    "PixelLoss",
    "PixelMetrics",
    "SegmentationModule",
    "all_fake",
    "all_real",
    "bce",
    "centre_box",
    "colour_features",
    "dice",
    "focal",
    "frame_loss",
    "frame_scores",
    "lovasz",
    "normalisation",
    "tversky",
    "video_scores",
]
