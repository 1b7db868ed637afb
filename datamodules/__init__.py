"""FaceForensics++ files on disk to batches of crops and masks; knows nothing of models."""

from .batch import Batch
from .dataset import Crop, read_crops
from .faceforensics import FaceForensicsDataModule
from .faces import FaceTracks, face_tracks
from .index import METHODS, Clip, clips_of, index, index_all
from .labels import Labels
from .loader import EpochLoader
from .masks import THRESHOLDS, UNKNOWN, forged_region, read_masks
from .scan import probe
from .self_blend import SelfBlend
from .splits import read_splits, split_of
from .stream import FrameStream
from .transforms import CropTransform
from .video import VideoReader, write_video
from .video_folder import VideoFolderDataModule

__all__ = [
    "METHODS",
    "THRESHOLDS",
    "UNKNOWN",
    "Batch",
    "Clip",
    "Crop",
    "CropTransform",
    "EpochLoader",
    "FaceForensicsDataModule",
    "FaceTracks",
    "FrameStream",
    "Labels",
    "SelfBlend",
    "VideoFolderDataModule",
    "VideoReader",
    "clips_of",
    "face_tracks",
    "forged_region",
    "index",
    "index_all",
    "probe",
    "read_crops",
    "read_masks",
    "read_splits",
    "split_of",
    "write_video",
]
