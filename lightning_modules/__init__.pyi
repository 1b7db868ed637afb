"""Networks, losses, metrics and Lightning modules for pixel-level face forensics; independent of how data is read."""

from .baselines import MeanMask, all_fake, all_real, centre_box, colour_features
from .batch import METHODS, UNKNOWN, Batch
from .classification import ClassificationModule
from .losses import bce, dice, focal, frame_loss, lovasz, tversky
from .metrics.canvas import paste
from .metrics.decisions import frame_scores, video_scores
from .metrics.evaluation import Evaluation
from .metrics.frames import frame_metrics
from .metrics.measurements import Measurements
from .metrics.operating_point import OperatingPoint
from .metrics.pixels import pixel_metrics
from .networks.encoders import Encoder, normalisation
from .networks.network import Network
from .pixel_loss import PixelLoss
from .segmentation import SegmentationModule

__all__ = [
    "METHODS",
    "UNKNOWN",
    "Batch",
    "ClassificationModule",
    "Encoder",
    "Evaluation",
    "MeanMask",
    "Measurements",
    "Network",
    "OperatingPoint",
    "PixelLoss",
    "SegmentationModule",
    "all_fake",
    "all_real",
    "bce",
    "centre_box",
    "colour_features",
    "dice",
    "focal",
    "frame_loss",
    "frame_metrics",
    "frame_scores",
    "lovasz",
    "normalisation",
    "paste",
    "pixel_metrics",
    "tversky",
    "video_scores",
]
