"""FaceForensics++ for Lightning: arranges index, splits, tracks and streams by stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from ..clips.index import FOLDERS, FOUR_METHODS, Clip, Compression, clips_of, index_all
from ..clips.masks import THRESHOLDS
from ..clips.splits import Split, read_splits
from ..crops.labels import Labels, Variant
from ..errors import DataValueError
from ..faces.tracks import FaceTracks, canvas_tracks, face_tracks
from ..loading.loader import EpochLoader
from ..loading.options import StreamOptions, Triple
from ..video.decoders import Backend
from ..video_data import VideoDataModule
from .listing import list_faceforensics
from .selection import notes, refuse_contradictions, refuse_one_class, select, select_mixed


class FaceForensicsDataModule(VideoDataModule):
    """Face crops and truth masks, decoded from FaceForensics++'s own files while training.

    Nothing is written among the data. What is selected is said here, never inferred from what lies on disk. Batches are
    described in `batch.Batch`.

    Args:
        root: Folder that holds `original_sequences` and `manipulated_sequences`.
        methods: Manipulations to learn and to test on; YouTube's originals always belong to it, those of the actors
            with DeepFakeDetection. Without any, originals and what `self_blend` makes of them are learnt from: every
            second validation clip is then self-blended, the same in every run, to choose a model by; a test needs some.
        compression: Quality of the videos. `mixed` takes every clip at all three: each is a clip of its own then, named
            `000_003@c40`, and gives a third of the frames, rounded up.
        splits: Folder of `train.json`, `val.json` and `test.json`; by default `<root>/splits`.
        missing: When the disk lacks clips that the splits name: `error`, or go on with the others (`skip`).
        faces: Where crops come from: `masks` (official masks of each target: an oracle), `dlib` (its face detector on
            each target's original, FaceForensics++'s own way), `whole` (whole frames), or the path of a CSV with the
            columns target, frame, x0, y0, x1, y1.
        margin: Side of the crop in sides of the face, 0.1 or more.
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
        mask_thresholds: Grey levels that replace those of `masks.THRESHOLDS`, by method, in what is trained on.
        mean: Of red, green and blue, 0 to 1; by default what the model names as `mean`, without a model ImageNet's.
        std: Standard deviation of red, green and blue, 0 to 1; by default what the model names as `std`, without a
            model ImageNet's.
        batch_size: Frames a batch on each device.
        redraw: Draw other training frames in each epoch; False keeps to the first epoch's, as FaceForensics++'s own
            protocol does, and a cache of crops then answers all from the second epoch on.
        num_workers: Processes that decode for each device; in a training as many again for validation, in turn.
        prefetch: Batches that each worker prepares ahead; of 32 at 299 pixels one takes 11 MB of shared memory.
        open_clips: Clips a worker has open at once in training; 11 MB each at 640x480, 16 MB at 1280x720.
        pool: Crops a worker keeps to mix batches from; 0.4 MB each at 299 pixels.
        backend: What decodes, `pyav`, `decord` or `torchcodec`; the pictures are the same.
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

    Examples:
        >>> data = FaceForensicsDataModule(root, methods=["Deepfakes"], size=64, eval_frames_per_clip=2, num_workers=0)
        >>> data.setup("validate")
        >>> batch = next(iter(data.val_dataloader()))
        >>> batch["image"].shape, batch["label"].tolist()
        (torch.Size([8, 3, 64, 64]), [0, 0, 0, 0, 1, 1, 1, 1])
    """

    def __init__(
        self,
        root: str,
        methods: Sequence[str] = FOUR_METHODS,
        compression: Compression | Literal["mixed"] = "c23",
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
        share = len(FOLDERS) if compression == "mixed" else 1
        options = StreamOptions(
            margin=margin,
            size=size,
            frames_per_clip=-(-frames_per_clip // share),
            eval_frames_per_clip=-(-eval_frames_per_clip // share),
            balance=balance,
            redraw=redraw,
            augment=augment,
            self_blend=self_blend,
            mean=mean,
            std=std,
            batch_size=batch_size,
            num_workers=num_workers,
            prefetch=prefetch,
            open_clips=open_clips,
            pool=pool,
            backend=backend,
            seed=seed,
            cache_gb=cache_gb,
        )
        super().__init__(options, predict_split, cache_dir)
        refuse_contradictions(methods, faces, balance, self_blend)
        if set(mask_thresholds or {}) - set(THRESHOLDS):
            raise DataValueError(
                f"mask_thresholds is {mask_thresholds}, but the methods with masks are {list(THRESHOLDS)}"
            )
        if not all(0 <= level <= 254 for level in (mask_thresholds or {}).values()):
            raise DataValueError(f"mask_thresholds is {mask_thresholds}, but wanted grey levels from 0 to 254")
        self.root = Path(root)
        self.methods = tuple(methods)
        self.compression: Compression | Literal["mixed"] = compression
        self.splits = Path(splits) if splits else self.root / "splits"
        self.missing = missing
        self.faces = faces
        self.labels: Variant = labels
        self.thresholds: Mapping[str, int] = {**THRESHOLDS, **(mask_thresholds or {})}

    def val_dataloader(self) -> EpochLoader:
        """Every planned frame of the validation split exactly once; without methods, every second clip self-blended."""
        return self._loader("val", self_blend=0.0 if self.methods else 0.5)

    def find_clips(self) -> tuple[pd.DataFrame, FaceTracks, FaceTracks]:
        """Finds the clips and their faces, see `ClipSource`."""
        needed = None if self.compression == "mixed" else self.compression
        on_disk = index_all(self.root, self.cache_dir, needed)
        if "DeepFakeDetection" not in self.methods:
            on_disk = on_disk[on_disk.target.str.fullmatch(r"\d{3}")]
        splits = read_splits(self.splits)
        taken = (on_disk, self.root, self.methods)
        if self.compression == "mixed":
            clips = self.leave_out_unusable(select_mixed(*taken, splits, self.missing))
        else:
            clips = self.leave_out_unusable(select(*taken, self.compression, splits, self.missing))
        targets = set(clips.target)
        tracks = face_tracks(on_disk, self.faces, self.cache_dir, targets)
        return clips, tracks, canvas_tracks(on_disk, tracks, self.cache_dir, targets)

    def list_files(self) -> pd.DataFrame:
        """What the files of the selected clips hold, see `ClipSource`."""
        return list_faceforensics(self.root, self.methods, self.compression, self.splits, self.cache_dir)

    @property
    def place(self) -> Path:
        """What names the clips, for sentences about them."""
        return self.root

    def notes(self, clips: pd.DataFrame) -> Iterator[str]:
        """Sentences on what the selection leaves out or does not know."""
        yield from notes(clips, self.root, self.methods, read_splits(self.splits), self.make_labels())
        full = self.tracks.full_targets() if self.tracks and self.tracks.source == "masks" else []
        if full:
            yield (
                f"the masks of {len(full)} targets cover nearly the whole frame throughout, first {full[0]}, so their "
                "crops do too: are they inverted? A mask is bright where its clip is forged"
            )

    def check_clips(self, clips: pd.DataFrame, stage: str) -> None:
        """Sees that a stage can be run on these clips, see `ClipSource`."""
        refuse_one_class(clips, self.methods, stage)

    def make_labels(self) -> Labels:
        """Says what counts as forged."""
        if self.labels != "difference" or self.clips is None:
            return Labels(self.labels, self.thresholds, THRESHOLDS)
        real = clips_of(self.clips[self.clips.label == 0])
        originals: dict[tuple[str, str], Clip] = {(clip.target, clip.compression): clip for clip in real}
        return Labels(self.labels, self.thresholds, THRESHOLDS, originals, self.canvas_tracks)
