"""FaceForensics++ for Lightning: arranges index, splits, tracks and streams by stage."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd
from pytorch_lightning import LightningDataModule
from tqdm import tqdm

from .faces import FaceTracks, face_tracks
from .index import METHODS, Compression, clips_of, index_all
from .masks import THRESHOLDS, mask_shift
from .splits import Split, missing_clips, read_splits, split_of
from .stream import EpochLoader, FrameStream
from .transforms import CropTransform

# Lightning warns of every iterable dataset with a length; FrameStream shares its samples among the workers itself.
warnings.filterwarnings("ignore", message="Your `IterableDataset` has `__len__` defined")

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of ImageNet's training images, as torchvision's and most of timm's weights want them."""

Triple = tuple[float, float, float]


class FaceForensicsDataModule(LightningDataModule):
    """Face crops and truth masks, decoded from FaceForensics++'s own files while training.

    Nothing is written among the data. What is selected is said here, never inferred from what lies on disk. Batches are
    described in `dataset.Batch`.

    Args:
        root: Folder that holds `original_sequences` and `manipulated_sequences`.
        methods: Manipulations to learn and to test on; YouTube's originals always belong to it, those of the actors
            with DeepFakeDetection.
        compression: Quality of the videos.
        splits: Folder of `train.json`, `val.json` and `test.json`; by default `<root>/splits`.
        missing: When the disk lacks clips that the splits name: `error`, or go on with the others (`skip`).
        faces: Where crops come from: `masks` (official masks of each target: an oracle), `whole` (whole frames), or the
            path of a CSV with the columns target, frame, x0, y0, x1, y1.
        margin: Side of the crop in sides of the face.
        size: Side of what the network sees, in pixels.
        frames_per_clip: Frames drawn from each training clip in an epoch.
        eval_frames_per_clip: Evenly spaced frames of each validation and test clip.
        balance: Equal numbers of real and fake training frames.
        augment: Flip and light photometric changes in training.
        mask_thresholds: Grey levels that replace those of `masks.THRESHOLDS`, by method.
        mean: Of the three channels; by default what the model names as `mean`, without a model ImageNet's.
        std: Likewise.
        batch_size: Frames a batch on each device.
        num_workers: Processes that decode for each device.
        open_clips: Clips a worker has open at once in training.
        pool: Crops a worker keeps to mix batches from.
        seed: Of frames drawn, their order and their augmentation; by default the one given to `seed_everything`.
        predict_split: Split that `predict` visits.
        cache_dir: Where facts and face tracks are kept; by default the user's cache folder.

    Raises:
        FileNotFoundError: Folder, splits or promised clips are missing.
        ValueError: A method is unknown or not on disk, a clip cannot be read, the training split lacks originals or
            fakes, or `mean` is not the model's.
    """

    def __init__(
        self,
        root: str,
        methods: Sequence[str] = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"),
        compression: Compression = "c23",
        splits: str | None = None,
        missing: Literal["error", "skip"] = "error",
        faces: str = "masks",
        margin: float = 1.3,
        size: int = 299,
        frames_per_clip: int = 270,
        eval_frames_per_clip: int = 100,
        balance: bool = False,
        augment: bool = True,
        mask_thresholds: dict[str, int] | None = None,
        mean: Triple | None = None,
        std: Triple | None = None,
        batch_size: int = 32,
        num_workers: int = 2,
        open_clips: int = 8,
        pool: int = 128,
        seed: int | None = None,
        predict_split: Split = "test",
        cache_dir: str | None = None,
    ) -> None:
        super().__init__()
        unknown = [method for method in methods if method not in METHODS[1:]]
        if unknown or not methods:
            raise ValueError(f"methods is {list(methods)}, but wanted one or more of {', '.join(METHODS[1:])}")
        if set(mask_thresholds or {}) - set(THRESHOLDS):
            raise ValueError(f"mask_thresholds is {mask_thresholds}, but the methods with masks are {list(THRESHOLDS)}")
        self.root = Path(root)
        self.methods = tuple(methods)
        self.compression: Compression = compression
        self.splits = Path(splits) if splits else self.root / "splits"
        self.missing = missing
        self.faces = faces
        self.margin = margin
        self.size = size
        self.frames_per_clip = frames_per_clip
        self.eval_frames_per_clip = eval_frames_per_clip
        self.balance = balance
        self.augment = augment
        self.thresholds: Mapping[str, int] = {**THRESHOLDS, **(mask_thresholds or {})}
        self.mean = mean
        self.std = std
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.open_clips = open_clips
        self.pool = pool
        self.seed = int(os.environ.get("PL_GLOBAL_SEED", 0)) if seed is None else seed
        self.predict_split: Split = predict_split
        self.cache_dir = Path(cache_dir) if cache_dir else None
        self.clips: pd.DataFrame | None = None
        """The selected rows of the index with their `split`; known after `setup`."""
        self.tracks: FaceTracks | None = None
        """Known after `setup`."""

    def prepare_data(self) -> None:
        """Reads headers and finds faces once, so that the other processes find them in the cache."""
        if self.clips is None:
            self._arrange()

    def setup(self, stage: str) -> None:
        """Indexes and selects; the first process says what is left out or not known."""
        if self.clips is None:
            self.clips, self.tracks = self._arrange()
            if self.trainer is None or self.trainer.is_global_zero:
                for note in self._notes(self.clips):
                    tqdm.write(note)
        if stage == "fit":
            self._refuse_one_class(self.clips[self.clips.split == "train"])

    def train_dataloader(self) -> EpochLoader:
        """Frames drawn anew each epoch, mixed, augmented."""
        return self._loader("train", train=True)

    def val_dataloader(self) -> EpochLoader:
        """Every planned frame of the validation split exactly once."""
        return self._loader("val")

    def test_dataloader(self) -> EpochLoader:
        """Every planned frame of the test split exactly once."""
        return self._loader("test")

    def predict_dataloader(self) -> EpochLoader:
        """Every planned frame of `predict_split` exactly once."""
        return self._loader(self.predict_split)

    def _arrange(self) -> tuple[pd.DataFrame, FaceTracks]:
        on_disk = index_all(self.root, self.cache_dir, needed=self.compression)
        if "DeepFakeDetection" not in self.methods:
            on_disk = on_disk[on_disk.target.str.fullmatch(r"\d{3}")]
        table = on_disk[on_disk.compression == self.compression]
        splits = read_splits(self.splits)
        absent = [method for method in self.methods if method not in set(table.method)]
        if absent:
            raise ValueError(
                f"{self.root} has no {self.compression} videos of {', '.join(absent)}, but has "
                f"{', '.join(table.method.unique())}: download them, or select others with data.init_args.methods"
            )
        missing = missing_clips(table, splits, self.methods)
        if missing and self.missing == "error":
            raise FileNotFoundError(
                f"{self.root} lacks {len(missing)} {self.compression} clips that the splits name, first {missing[0]}: "
                "download them, or go on without them by data.init_args.missing: skip"
            )
        clips = table[table.method.isin(("original", *self.methods))]
        broken = clips[clips.frames == 0]
        if len(broken):
            raise ValueError(f"{len(broken)} clips cannot be read, first {broken.path.iloc[0]}: download them again")
        tracks = face_tracks(on_disk, self.faces, self.cache_dir, needed=set(clips.target))
        return clips.assign(split=split_of(clips, splits)), tracks

    def _notes(self, clips: pd.DataFrame) -> Iterator[str]:
        missing = missing_clips(clips, read_splits(self.splits), self.methods)
        if missing:
            yield f"{self.root} lacks {len(missing)} clips that the splits name, first {missing[0]}; skipped"
        fakes = clips_of(clips[clips.method.isin(THRESHOLDS)])
        unknown = [clip for clip in fakes if mask_shift(clip) is None or clip.mask_frames < clip.frames]
        if unknown:
            yield (
                f"{len(unknown)} of {len(fakes)} fakes have a mask that is missing, ends early or has another size; "
                f"pixels without one count as not known: python -m datamodules.doctor {self.root} names them"
            )

    def _refuse_one_class(self, clips: pd.DataFrame) -> None:
        if clips.label.nunique() == 1:
            only = "fakes" if clips.label.iloc[0] else "originals"
            raise ValueError(
                f"methods is {list(self.methods)}, of which the training split holds {len(clips)} {only} only, but "
                "wanted originals and fakes: download the others, or select further methods with "
                "data.init_args.methods (all of DeepFakeDetection is there to test on)"
            )

    def _as_model_wants(self, name: Literal["mean", "std"], usual: Triple) -> Sequence[float]:
        model = self.trainer.lightning_module if self.trainer else None
        own, wanted = getattr(self, name), getattr(model, name, None)
        if own is not None and wanted is not None and tuple(own) != tuple(wanted):
            raise ValueError(
                f"data.init_args.{name} is {list(own)}, but the encoder's weights want {list(wanted)}: leave it out"
            )
        return own or wanted or usual

    def _loader(self, split: Split, train: bool = False) -> EpochLoader:
        if self.clips is None or self.tracks is None:
            raise RuntimeError("the loaders were asked for before setup(stage): call it first, or let a Trainer do it")
        # Asked here and not in setup, for only after it a Trainer restores the checkpoint, which knows better.
        mean, std = self._as_model_wants("mean", IMAGENET[0]), self._as_model_wants("std", IMAGENET[1])
        stream = FrameStream(
            self.clips[self.clips.split == split],
            self.tracks,
            CropTransform(self.size, mean, std, augment=train and self.augment),
            self.frames_per_clip if train else self.eval_frames_per_clip,
            self.batch_size,
            train=train,
            seed=self.seed,
            margin=self.margin,
            thresholds=self.thresholds,
            balance=self.balance,
            open_clips=self.open_clips,
            pool=self.pool,
            rank=self.trainer.global_rank if self.trainer else 0,
            ranks=self.trainer.world_size if self.trainer else 1,
        )
        return EpochLoader(
            stream, self._epoch, batch_size=self.batch_size, num_workers=self.num_workers, pin_memory=self._on_gpu()
        )

    def _epoch(self) -> int:
        return self.trainer.current_epoch if self.trainer else 0

    def _on_gpu(self) -> bool:
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
