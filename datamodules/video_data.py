"""What every data module of videos shares: loaders by stage, from clips and face tracks that a subclass finds."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd
from pytorch_lightning import LightningDataModule
from pytorch_lightning.trainer.states import TrainerFn
from tqdm import tqdm

from .batch import Batch
from .clip_source import ClipSource
from .clips.identity import fingerprint, one_row
from .clips.index import refuse_broken
from .clips.splits import Split
from .crops.cache import CropCache
from .crops.transforms import CropTransform
from .faces.tracks import SOURCES, FaceTracks
from .files import cache_folder
from .loading.loader import EpochLoader
from .loading.options import StreamOptions
from .loading.stream import FrameStream
from .parallel.pool import lock_file
from .stages import batches_done, epoch_of, is_on_gpu, normalisation_for, refuse_test_while_choosing


class VideoDataModule(ClipSource, LightningDataModule):
    """Face crops and truth masks, decoded from videos while training; a subclass says which, see `ClipSource`.

    Args:
        options: How clips are read, and how what is read of them is mixed and shown.
        predict_split: Split that `predict` visits.
        cache_dir: Where facts, face tracks and crops are kept; by default the user's cache folder.

    Attributes:
        options: The settings, with the seed of the run where they name none. A change of them, by
            `dataclasses.replace`, holds for loaders made from then on.
        faces: Where crops come from; a subclass that lets the user choose keeps it here.

    Examples:
        >>> from datamodules import FaceForensicsDataModule
        >>> module = FaceForensicsDataModule(root, size=64, num_workers=0, eval_frames_per_clip=2, batch_size=8)
        >>> module.setup("validate")
        >>> batch = next(iter(module.val_dataloader()))
        >>> batch["image"].shape, batch["mask"].shape
        (torch.Size([8, 3, 64, 64]), torch.Size([8, 64, 64]))
    """

    def __init__(self, options: StreamOptions, predict_split: Split = "test", cache_dir: str | None = None) -> None:
        super().__init__()
        seed = int(os.environ.get("PL_GLOBAL_SEED", 0)) if options.seed is None else options.seed
        self.options = replace(options, seed=seed)
        self.predict_split: Split = predict_split
        self.cache_dir = Path(cache_dir) if cache_dir else None
        self.cache = CropCache(cache_folder(self.cache_dir), options.cache_gb) if options.cache_gb else None
        self.faces = "masks"
        self._noted = False
        self._may_test = False
        self._finish: Callable[[Batch], Batch] | None = None
        self._train: EpochLoader | None = None
        self._loaders: weakref.WeakSet[EpochLoader] = weakref.WeakSet()
        self._position: dict[str, int] = {}
        self._stage = ""
        self.unusable: pd.DataFrame | None = None
        """Selected clips that cannot be read at all, with the columns of `clips`; known after `setup`, which refuses
        them unless it is for `predict`."""
        self.clips: pd.DataFrame | None = None
        """The selected clips that can be read, with the columns of `Clip`, `split` and `pair`; known after `setup`."""
        self.tracks: FaceTracks | None = None
        """What crops are cut out by; known after `setup`."""
        self.canvas_tracks: FaceTracks | None = None
        """Where pixels are measured; known after `setup`."""

    def prepare_data(self) -> None:
        """Reads headers and finds faces once, so that the other processes find them in the cache."""
        may_predict = self.trainer is None or self.trainer.state.fn == TrainerFn.PREDICTING  # `setup` knows
        self._arrange("predict" if may_predict else "")

    def setup(self, stage: str) -> None:
        """Indexes and selects; the first process says what is left out or not known."""
        clips = self._arrange(stage)
        if not self._noted and (self.trainer is None or self.trainer.is_global_zero):
            for note in self.notes(clips):
                tqdm.write(note)
        self._noted = True
        self.check_clips(clips, stage)
        self._may_test = stage in ("test", "predict") or (self._may_test and stage != "fit")

    def train_dataloader(self) -> EpochLoader:
        """Frames drawn anew each epoch, mixed, augmented; resumed inside an epoch, it starts with the first unseen.

        With a Trainer's `overfit_batches` every epoch shows the first one's.
        """
        self._train = self._loader("train", train=True)
        if self._position:
            self._train.load_state_dict(self._position)
            self._position = {}
        return self._train

    def val_dataloader(self) -> EpochLoader:
        """Every planned frame of the validation split exactly once.

        Where a Trainer cuts it short by `limit_val_batches`, what is left is spread over methods, originals and fakes.
        """
        return self._loader("val")

    def test_dataloader(self) -> EpochLoader:
        """Every planned frame of the test split exactly once.

        Where a Trainer cuts it short by `limit_test_batches`, what is left is spread over methods, originals and fakes.
        """
        return self._loader("test")

    def predict_dataloader(self) -> EpochLoader:
        """Every planned frame of `predict_split` exactly once; those that cannot be read are warned of and left out."""
        return self._loader(self.predict_split, on_unreadable="skip")

    def teardown(self, stage: str) -> None:
        """Ends the workers of all loaders."""
        for loader in self._loaders:
            loader.close()

    def on_exception(self, exception: BaseException) -> None:
        """Ends the workers of all loaders after an error, for then a Trainer tears nothing down."""
        self.teardown("")

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
        self._arrange(stage)
        visited: dict[str, tuple[Split, ...]] = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
        for split in visited.get(stage, (self.predict_split,)):
            self._stream(split, train=stage == "fit" and split == "train", rank=0, ranks=processes)

    def _arrange(self, stage: str) -> pd.DataFrame:
        """Finds out once what is used; what that took to find is cached for other processes and runs."""
        self._stage = stage
        if self.clips is None or self.tracks is None:
            with lock_file(cache_folder(self.cache_dir) / "arranging"):
                self.clips, self.tracks, self.canvas_tracks = self.find_clips()
        if self.unusable is not None:
            self.leave_out_unusable(self.unusable)
        return self.clips

    def leave_out_unusable(self, clips: pd.DataFrame) -> pd.DataFrame:
        """Leaves out, to predict, clips that cannot be read at all; for every other stage they are refused.

        `find_clips` of a subclass passes its clips through it, before it looks for faces.

        Args:
            clips: With the columns of `Clip`, `split` and `pair`; those of 0 frames cannot be read.

        Returns:
            Those that can be read.

        Raises:
            ValueError: A clip cannot be read, and the stage is not `predict`.
        """
        if self._stage != "predict":
            refuse_broken(clips, self.place)
        if self.unusable is None:
            self.unusable = clips[clips.frames == 0]
        return clips[clips.frames > 0]

    def files(self) -> pd.DataFrame:
        """What the selected clips of all splits are, whatever the path, time or readability of their files.

        Returns:
            A row a clip with the columns of `identity.FILE_COLUMNS`, sorted by name; `video` and `mask` are
            fingerprints. Behind them, with a split of "", the row `faces file` where faces come from a CSV and, once
            they are known, `faces`, which is what crops are cut out by.

        Raises:
            FileNotFoundError: None of the files is there.
            ValueError: What names them cannot be read.
        """
        rows = [self.list_files()]
        if self.faces not in SOURCES:
            rows.append(one_row("faces file", fingerprint(self.faces, whole=True)))
        if self.clips is not None and self.tracks is not None:
            rows.append(one_row("faces", self.tracks.digest_of(self.clips.target)))
        return pd.concat(rows, ignore_index=True)

    def _stream(
        self,
        split: Split,
        train: bool,
        rank: int,
        ranks: int,
        self_blend: float = 0.0,
        on_unreadable: Literal["raise", "skip"] = "raise",
        limit: float = 1.0,
    ) -> FrameStream:
        if self.clips is None or self.tracks is None:
            raise RuntimeError("the loaders were asked for before setup(stage): call it first, or let a Trainer do it")
        # Asked here and not in setup, for only after it a Trainer restores the checkpoint, which knows better.
        options = self.options
        mean, std = normalisation_for(self.trainer, options.mean, options.std)
        return FrameStream(
            self.clips[self.clips.split == split],
            self.tracks,
            CropTransform(options.size, mean, std, augment=train and options.augment),
            options if train else replace(options, self_blend=self_blend),
            train=train,
            labels=self.make_labels(),
            cache=self.cache,
            canvas=None if train else self.canvas_tracks,
            rank=rank,
            ranks=ranks,
            on_unreadable=on_unreadable,
            limit=limit,
        )

    def _loader(
        self,
        split: Split,
        train: bool = False,
        self_blend: float = 0.0,
        on_unreadable: Literal["raise", "skip"] = "raise",
    ) -> EpochLoader:
        if split == "test":
            refuse_test_while_choosing(self.trainer, self._may_test or self.clips is None)
        rank, ranks = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        whole = train or on_unreadable == "skip"
        limit = getattr(self.trainer, f"limit_{split}_batches", 1.0) if not whole else 1.0
        stream = self._stream(split, train, rank, ranks, self_blend, on_unreadable, limit)
        self._finish = stream.transform.finish
        if stream.left_out and rank == 0:
            tqdm.write(f"{stream.left_out} of {stream.samples} training frames fill no batch; others in each epoch")
        loader = EpochLoader(
            stream,
            partial(epoch_of, self),
            partial(batches_done, self),
            num_workers=self.options.num_workers,
            prefetch=self.options.prefetch,
            finished=self.trainer is None,
            pin_memory=is_on_gpu(self.trainer),
            same=train and getattr(self.trainer, "overfit_batches", 0) > 0,
        )
        self._loaders.add(loader)
        return loader
