"""FaceForensics++ files on disk to batches of crops and masks; knows nothing of models."""

from .batch import Batch
from .clip_source import ClipSource
from .clips.facts import add_facts
from .clips.identity import identify_files
from .clips.index import METHODS, Clip, clips_of, index, index_all
from .clips.masks import THRESHOLDS, UNKNOWN, forged_region, read_masks
from .clips.splits import read_splits, split_of
from .crops.labels import Labels
from .crops.read import Crop, read_crops
from .crops.self_blend import SelfBlend
from .crops.transforms import CropTransform
from .faces.tracks import FaceTracks, face_tracks
from .layouts.faceforensics import FaceForensicsDataModule
from .layouts.video_folder import VideoFolderDataModule
from .loading.loader import EpochLoader
from .loading.options import StreamOptions
from .loading.stream import FrameStream
from .video.reader import VideoReader
from .video.scan import probe
from .video.writer import write_video
from .video_data import VideoDataModule

__all__ = [
    "METHODS",
    "THRESHOLDS",
    "UNKNOWN",
    "Batch",
    "Clip",
    "ClipSource",
    "Crop",
    "CropTransform",
    "EpochLoader",
    "FaceForensicsDataModule",
    "FaceTracks",
    "FrameStream",
    "Labels",
    "SelfBlend",
    "StreamOptions",
    "VideoDataModule",
    "VideoFolderDataModule",
    "VideoReader",
    "add_facts",
    "clips_of",
    "face_tracks",
    "forged_region",
    "identify_files",
    "index",
    "index_all",
    "probe",
    "read_crops",
    "read_masks",
    "read_splits",
    "split_of",
    "write_video",
]
