"""Networks, losses, metrics and Lightning modules for pixel-level face forensics; independent of how data is read."""

from .baselines import MeanMask, all_fake, all_real, centre_box, colour_features
from .batch import METHODS, UNKNOWN, Batch
from .canvas import paste
from .classification import ClassificationModule
from .decisions import frame_scores, video_scores
from .encoders import Encoder, normalisation
from .frame_metrics import frame_figures
from .losses import bce, dice, focal, frame_loss, lovasz, tversky
from .measured import Measured
from .metrics import Evaluation
from .networks import Network
from .operating_point import OperatingPoint
from .pixel_loss import PixelLoss
from .pixel_metrics import pixel_figures
from .segmentation import SegmentationModule

__all__ = [
    "METHODS",
    "UNKNOWN",
    "Batch",
    "ClassificationModule",
    "Encoder",
    "Evaluation",
    "MeanMask",
    "Measured",
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
    "frame_figures",
    "frame_loss",
    "frame_scores",
    "lovasz",
    "normalisation",
    "paste",
    "pixel_figures",
    "tversky",
    "video_scores",
]
