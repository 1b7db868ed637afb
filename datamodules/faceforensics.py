"""FaceForensics++ for Lightning: arranges index, splits, tracks and streams by stage."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pytorch_lightning import LightningDataModule
from pytorch_lightning.trainer.states import TrainerFn, TrainerStatus
from tqdm import tqdm

from .batch import Batch
from .cache import CropCache
from .faces import FaceTracks, canvas_tracks, face_tracks
from .index import Compression, cache_folder, clips_of, index_all
from .labels import Labels, Variant
from .masks import THRESHOLDS
from .parallel import one_at_a_time
from .selection import notes, refuse_contradictions, refuse_one_class, select
from .splits import Split, read_splits
from .stream import EpochLoader, FrameStream
from .transforms import CropTransform
from .video import Backend

# Lightning warns of every iterable dataset with a length; FrameStream shares its samples among the workers itself.
warnings.filterwarnings("ignore", message="Your `IterableDataset` has `__len__` defined")

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of ImageNet's training images, as torchvision's and most of timm's weights want them."""

Triple = tuple[float, float, float]


class FaceForensicsDataModule(LightningDataModule):
    """Face crops and truth masks, decoded from FaceForensics++'s own files while training.

    Nothing is written among the data. What is selected is said here, never inferred from what lies on disk. Batches are
    described in `batch.Batch`.

    Args:
        root: Folder that holds `original_sequences` and `manipulated_sequences`.
        methods: Manipulations to learn and to test on; YouTube's originals always belong to it, those of the actors
            with DeepFakeDetection. Without any, originals and what `self_blend` makes of them are learnt from: every
            second validation clip is then self-blended, the same in every run, to choose a model by; a test needs some.
        compression: Quality of the videos.
        splits: Folder of `train.json`, `val.json` and `test.json`; by default `<root>/splits`.
        missing: When the disk lacks clips that the splits name: `error`, or go on with the others (`skip`).
        faces: Where crops come from: `masks` (official masks of each target: an oracle), `dlib` (its face detector on
            each target's original, FaceForensics++'s own way), `whole` (whole frames), or the path of a CSV with the
            columns target, frame, x0, y0, x1, y1.
        margin: Side of the crop in sides of the face.
        size: Side of what the network sees, in pixels.
        frames_per_clip: Frames drawn from each training clip in an epoch.
        eval_frames_per_clip: Evenly spaced frames of each validation and test clip.
        balance: Equal numbers of real and fake training frames.
        augment: Flip and light photometric changes in training.
        self_blend: Share of the originals' training frames shown as fakes, blended with themselves, see `SelfBlend`;
            drawn anew in each epoch; their method is SelfBlended. With `balance` they count as the fakes they are:
            originals give more frames in return, those of `methods` fewer.
        labels: What is learnt as forged: the `official` masks; their filled `hull`; or the `difference` of a fake from
            its original at the same quality, which FaceShifter has too, and where a frame in which nothing differs is
            learnt as real. The canvas stays official, and so does a frame's label in an evaluation wherever there is an
            official mask: see `Batch` and `Labels`.
        mask_thresholds: Grey levels that replace those of `masks.THRESHOLDS`, by method.
        mean: Of the three channels; by default what the model names as `mean`, without a model ImageNet's.
        std: Likewise.
        batch_size: Frames a batch on each device.
        redraw: Draw other training frames in each epoch; False keeps to the first epoch's, as FaceForensics++'s own
            protocol does, and a cache of crops then answers all from the second epoch on.
        num_workers: Processes that decode for each device.
        prefetch: Batches that each worker prepares ahead; of 32 at 299 pixels one takes 11 MB of shared memory.
        open_clips: Clips a worker has open at once in training; 8 MB each at 640x480, 16 MB at 1280x720.
        pool: Crops a worker keeps to mix batches from; 0.4 MB each at 299 pixels.
        backend: What decodes, see `VideoReader`; the pictures are the same.
        seed: Of frames drawn, their order and their augmentation; by default the one given to `seed_everything`.
        predict_split: Split that `predict` visits.
        cache_dir: Where facts, face tracks and crops are kept; by default the user's cache folder.
        cache_gb: Decoded crops are kept in `cache_dir` up to this size; 0 keeps none. A crop takes 3.1 bytes a pixel of
            the video: 0.2 MB at 256x256.

    Raises:
        FileNotFoundError: Folder, splits or promised clips are missing.
        ValueError: A method is unknown or not on disk, a clip cannot be read, a face is not found, the training split
            lacks originals or fakes, there is nothing to test on, `self_blend` is no share or does not go with the
            rest, or `mean` is not the model's.
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
        redraw: bool = True,
        augment: bool = True,
        self_blend: float = 0.0,
        labels: Variant = "official",
        mask_thresholds: dict[str, int] | None = None,
        mean: Triple | None = None,
        std: Triple | None = None,
        batch_size: int = 32,
        num_workers: int = 2,
        prefetch: int = 2,
        open_clips: int = 16,
        pool: int = 128,
        backend: Backend = "pyav",
        seed: int | None = None,
        predict_split: Split = "test",
        cache_dir: str | None = None,
        cache_gb: float = 0.0,
    ) -> None:
        super().__init__()
        refuse_contradictions(methods, faces, balance, self_blend)
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
        self.redraw = redraw
        self.augment = augment
        self.self_blend = self_blend
        self.labels: Variant = labels
        self.thresholds: Mapping[str, int] = {**THRESHOLDS, **(mask_thresholds or {})}
        self.mean = mean
        self.std = std
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.prefetch = prefetch
        self.open_clips = open_clips
        self.pool = pool
        self.backend: Backend = backend
        self.seed = int(os.environ.get("PL_GLOBAL_SEED", 0)) if seed is None else seed
        self.predict_split: Split = predict_split
        self.cache_dir = Path(cache_dir) if cache_dir else None
        self.cache = CropCache(cache_folder(self.cache_dir), cache_gb) if cache_gb else None
        self._noted = False
        self._may_test = False
        self._finish: Callable[[Batch], Batch] | None = None
        self._train: EpochLoader | None = None
        self._position: dict[str, int] = {}
        self.clips: pd.DataFrame | None = None
        """The selected rows of the index with their `split` and their `pair`; known after `setup`."""
        self.tracks: FaceTracks | None = None
        """What crops are cut out by; known after `setup`."""
        self.canvas_tracks: FaceTracks | None = None
        """Where pixels are measured: the official masks' boxes, `tracks` for targets without; known after `setup`."""

    def prepare_data(self) -> None:
        """Reads headers and finds faces once, so that the other processes find them in the cache."""
        self._arrange()

    def setup(self, stage: str) -> None:
        """Indexes and selects; the first process says what is left out or not known."""
        clips, _ = self._arrange()
        if not self._noted and (self.trainer is None or self.trainer.is_global_zero):
            for note in notes(clips, self.root, self.methods, read_splits(self.splits), self._labels()):
                tqdm.write(note)
        self._noted = True
        refuse_one_class(clips, self.methods, stage)
        self._may_test = stage in ("test", "predict") or (self._may_test and stage != "fit")

    def train_dataloader(self) -> EpochLoader:
        """Frames drawn anew each epoch, mixed, augmented; resumed inside an epoch, it starts with the first unseen."""
        self._train = self._loader("train", train=True)
        if self._position:
            self._train.load_state_dict(self._position)
            self._position = {}
        return self._train

    def val_dataloader(self) -> EpochLoader:
        """Every planned frame of the validation split exactly once; without methods, every second clip self-blended."""
        return self._loader("val", self_blend=0.0 if self.methods else 0.5)

    def test_dataloader(self) -> EpochLoader:
        """Every planned frame of the test split exactly once."""
        return self._loader("test")

    def predict_dataloader(self) -> EpochLoader:
        """Every planned frame of `predict_split` exactly once."""
        return self._loader(self.predict_split)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Makes floats of bytes where the batch has arrived; a fifth of it had to travel."""
        if self.trainer is None or self._finish is None:
            return batch  # not from a loader of ours
        finished: Batch = self.trainer.precision_plugin.convert_input(self._finish(batch))
        return finished

    def state_dict(self) -> dict[str, int]:
        """The position in the training epoch, for a checkpoint."""
        return self._train.state_dict() if self._train else {}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Keeps a position for the next training loader.

        Lightning 2.6 would give it to the loader by itself, but not where the optimiser's schedule has asked how long
        an epoch is.
        """
        self._position = state_dict

    def refuse_idle_processes(self, stage: str, processes: int) -> None:
        """Checks, before processes start, that each of them will have data: one without a batch stops all for good.

        Args:
            stage: fit, validate, test or predict.
            processes: How many will start.

        Raises:
            ValueError: One would have no batch.
        """
        self._arrange()
        visited: dict[str, tuple[Split, ...]] = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
        for split in visited.get(stage, (self.predict_split,)):
            self._stream(split, train=stage == "fit" and split == "train", rank=0, ranks=processes)

    def _arrange(self) -> tuple[pd.DataFrame, FaceTracks]:
        """Finds out once what is used; what that took to find is cached for other processes and runs."""
        if self.clips is None or self.tracks is None:
            with one_at_a_time(cache_folder(self.cache_dir) / "arranging"):
                on_disk = index_all(self.root, self.cache_dir, needed=self.compression)
                if "DeepFakeDetection" not in self.methods:
                    on_disk = on_disk[on_disk.target.str.fullmatch(r"\d{3}")]
                splits = read_splits(self.splits)
                clips = select(on_disk, self.root, self.methods, self.compression, splits, self.missing)
                targets = set(clips.target)
                self.tracks = face_tracks(on_disk, self.faces, self.cache_dir, targets)
                self.canvas_tracks = canvas_tracks(on_disk, self.tracks, self.cache_dir, targets)
                self.clips = clips
        return self.clips, self.tracks

    def _as_model_wants(self, name: Literal["mean", "std"], usual: Triple) -> Sequence[float]:
        model = self.trainer.lightning_module if self.trainer else None
        own, wanted = getattr(self, name), getattr(model, name, None)
        if own is not None and wanted is not None and tuple(own) != tuple(wanted):
            raise ValueError(
                f"data.init_args.{name} is {list(own)}, but the encoder's weights want {list(wanted)}: leave it out"
            )
        return own or wanted or usual

    def _stream(self, split: Split, train: bool, rank: int, ranks: int, self_blend: float = 0.0) -> FrameStream:
        if self.clips is None or self.tracks is None:
            raise RuntimeError("the loaders were asked for before setup(stage): call it first, or let a Trainer do it")
        # Asked here and not in setup, for only after it a Trainer restores the checkpoint, which knows better.
        mean, std = self._as_model_wants("mean", IMAGENET[0]), self._as_model_wants("std", IMAGENET[1])
        return FrameStream(
            self.clips[self.clips.split == split],
            self.tracks,
            CropTransform(self.size, mean, std, augment=train and self.augment),
            self.frames_per_clip if train else self.eval_frames_per_clip,
            self.batch_size,
            train=train,
            seed=self.seed,
            margin=self.margin,
            labels=self._labels(),
            balance=self.balance,
            redraw=self.redraw,
            open_clips=self.open_clips,
            pool=self.pool,
            rank=rank,
            ranks=ranks,
            backend=self.backend,
            cache=self.cache,
            self_blend=self.self_blend if train else self_blend,
            canvas=None if train else self.canvas_tracks,
        )

    def _labels(self) -> Labels:
        if self.labels != "difference" or self.clips is None:
            return Labels(self.labels, self.thresholds)
        originals = {clip.target: clip for clip in clips_of(self.clips[self.clips.label == 0])}
        return Labels(self.labels, self.thresholds, originals, self.canvas_tracks)

    def _loader(self, split: Split, train: bool = False, self_blend: float = 0.0) -> EpochLoader:
        if split == "test":
            self._refuse_test_while_fitting()
        rank, ranks = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        stream = self._stream(split, train, rank, ranks, self_blend)
        self._finish = stream.transform.finish
        if stream.left_out and rank == 0:
            tqdm.write(f"{stream.left_out} of {stream.samples} training frames fill no batch; others in each epoch")
        return EpochLoader(
            stream,
            self._epoch,
            self._consumed,
            finished=self.trainer is None,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            prefetch_factor=self.prefetch if self.num_workers else None,
            pin_memory=self._on_gpu(),
        )

    def _refuse_test_while_fitting(self) -> None:
        """What is chosen with the test split in sight cannot be tested on it."""
        state = self.trainer.state if self.trainer else None
        if state and state.status == TrainerStatus.RUNNING and state.fn in (TrainerFn.FITTING, TrainerFn.VALIDATING):
            raise RuntimeError(
                f"the test split was asked for while the Trainer runs {state.fn.value}, but nothing may be chosen by "
                "it: use the validation split, and test when training has ended"
            )
        if self.clips is not None and not self._may_test:
            raise RuntimeError(
                "the test split was asked for before setup('test'), but nothing may be chosen by it: use the "
                "validation split, and call setup('test') when training has ended"
            )

    def _epoch(self) -> int:
        return self.trainer.current_epoch if self.trainer else 0

    def _consumed(self) -> int:
        progress: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current if self.trainer else None
        return progress.processed if progress else 0

    def _on_gpu(self) -> bool:
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
