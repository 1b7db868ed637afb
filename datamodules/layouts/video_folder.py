"""Anybody's videos for Lightning, from a CSV: to test what was trained on FaceForensics++ on other data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from ..clips.index import METHODS, clips_of
from ..clips.mask_check import MaskSeen, contradictions, refuse_false_masks, see_masks
from ..clips.masks import mask_shift
from ..clips.splits import Split
from ..crops.labels import Labels
from ..errors import DataValueError
from ..faces.tracks import FaceTracks
from ..loading.options import StreamOptions, Triple
from ..video.decoders import Backend
from ..video_data import VideoDataModule
from .listing import list_video_folder
from .video_table import read_video_table, tracks_of


class VideoFolderDataModule(VideoDataModule):
    """Face crops, labels and, where there are any, truth masks of the videos that a CSV names.

    A line of the CSV is a clip. Its columns: `path` of the video, relative to the CSV or absolute; `label`, 0 real or 1
    fake; and, each of them only if it is known, `mask_path` (a video, bright where the clip is forged), `method` (how a
    fake was made), `pair` (whom a clip shows, or the two it was made of: what is resampled for an interval; by default
    its target), `split` (train, val or test; by default test) and `target` (clips that share one face track,
    such as an original and its fakes; by default each clip has its own).

    A `method` is any name. Where all fakes' names are in `METHODS`, batches say the method as they do for
    FaceForensics++; where one is not, they do not, and figures are over all methods.

    A fake is never taken for real by an empty mask: one that shows nothing in any frame is refused, and so is one that
    has so many more frames than its clip that they cannot be paired by number. A single frame whose mask is empty
    counts as real. Without a mask, the pixels of a fake are not known. Pixels are measured in the crop at margin 1.3
    round `faces`, by one rule for real clips and fakes.

    Args:
        csv: Path of the CSV.
        faces: Where crops come from: `dlib` (its face detector on a clip of each target, a real one where there is
            one), `masks` (then every target needs one), `whole` (whole frames), or the path of a CSV with the columns
            target, frame, x0, y0, x1, y1; a clip without target is called as its file, without the ending.
        margin: Side of the crop in sides of the face.
        size: Side of what the network sees, in pixels.
        frames_per_clip: Frames drawn from each training clip in an epoch.
        eval_frames_per_clip: Evenly spaced frames of each validation and test clip.
        mask_threshold: Grey level, 0 to 254, that forged pixels of a mask exceed.
        balance: Equal numbers of real and fake training frames.
        redraw: Draw other training frames in each epoch; False keeps to the first epoch's.
        augment: Flip and light photometric changes in training.
        mean: Of red, green and blue, 0 to 1; by default what the model names as `mean`, without a model ImageNet's.
        std: Standard deviation of red, green and blue, 0 to 1; by default what the model names as `std`, without a
            model ImageNet's.
        batch_size: Frames a batch on each device.
        num_workers: Processes that decode for each device; in a training as many again for validation, in turn.
        prefetch: Batches that each worker prepares ahead; of 32 at 299 pixels one takes 11 MB of shared memory.
        open_clips: Clips a worker has open at once in training; 11 MB each at 640x480, 16 MB at 1280x720.
        pool: Crops a worker keeps to mix batches from; 0.4 MB each at 299 pixels.
        backend: What decodes, `pyav`, `decord` or `torchcodec`; the pictures are the same.
        seed: Of frames drawn, their order and their augmentation; by default the one given to `seed_everything`.
        predict_split: Split that `predict` visits.
        cache_dir: Where facts, face tracks and crops are kept; by default the user's cache folder.
        cache_gb: Decoded crops are kept in `cache_dir` up to this size, in 10^9 bytes; 0 keeps none.

    Raises:
        FileNotFoundError: The CSV or a file that it names is missing.
        ValueError: A number is out of its range; the CSV lacks a column or a line says what it cannot; a face is not
            found; a mask contradicts its clip; a split that is needed is empty, or a training split lacks originals or
            fakes.

    Examples:
        >>> videos = sorted((root / "original_sequences/youtube/c23/videos").glob("*.mp4"))[:2]
        >>> pd.DataFrame({"path": videos, "label": 0, "pair": "anna"}).to_csv("mine.csv", index=False)
        >>> data = VideoFolderDataModule("mine.csv", faces="whole", num_workers=0)
        >>> data.setup("test")
        >>> data.clips.split.tolist()
        ['test', 'test']
    """

    def __init__(
        self,
        csv: str,
        faces: str = "dlib",
        margin: float = 1.3,
        size: int = 299,
        frames_per_clip: int = 270,
        eval_frames_per_clip: int = 100,
        mask_threshold: int = 127,
        balance: bool = False,
        redraw: bool = True,
        augment: bool = True,
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
        options = StreamOptions(
            margin=margin,
            size=size,
            frames_per_clip=frames_per_clip,
            eval_frames_per_clip=eval_frames_per_clip,
            balance=balance,
            redraw=redraw,
            augment=augment,
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
        if not 0 <= mask_threshold <= 254:
            raise DataValueError(f"mask_threshold is {mask_threshold}, but wanted a grey level from 0 to 254")
        self.csv = Path(csv)
        self.faces = faces
        self.mask_threshold = mask_threshold
        self._seen: dict[tuple[str, int], MaskSeen] = {}

    def find_clips(self) -> tuple[pd.DataFrame, FaceTracks, FaceTracks]:
        """Finds the clips and their faces, see `ClipSource`."""
        clips = self.leave_out_unusable(read_video_table(self.csv, self.cache_dir))
        self._seen = see_masks(clips_of(clips), self.mask_threshold, self.cache_dir)
        refuse_false_masks(clips_of(clips), self._seen, self.mask_threshold)
        tracks = tracks_of(clips, self.faces, self.mask_threshold, self.cache_dir)
        return clips, tracks, tracks

    def list_files(self) -> pd.DataFrame:
        """What the files of the selected clips hold, see `ClipSource`."""
        return list_video_folder(self.csv, self.cache_dir)

    @property
    def place(self) -> Path:
        """What names the clips, for sentences about them."""
        return self.csv

    def make_labels(self) -> Labels:
        """Says what counts as forged."""
        methods = [] if self.clips is None else self.clips.method.unique()
        return Labels(thresholds=dict.fromkeys(methods, self.mask_threshold))

    def notes(self, clips: pd.DataFrame) -> Iterator[str]:
        """Sentences on what the selection leaves out or does not know."""
        others = sorted(set(clips.method) - set(METHODS))
        if others:
            yield f"{self.csv}: {', '.join(others)} are no methods of FaceForensics++: figures are over all fakes only"
        if clips.pair.is_unique:
            yield f"{self.csv} says of no two clips that they show the same people: intervals take each for independent"
        yield from contradictions(clips_of(clips), self._seen)
        fakes = clips_of(clips[clips.label == 1])
        unknown = [clip for clip in fakes if mask_shift(clip) is None or clip.mask_frames < clip.frames]
        if unknown:
            yield (
                f"{len(unknown)} of {len(fakes)} fakes have a mask that is missing, ends early or has another size; "
                "pixels without one count as not known"
            )

    def check_clips(self, clips: pd.DataFrame, stage: str) -> None:
        """Sees that a stage can be run on these clips, see `ClipSource`."""
        needed = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
        for split in needed.get(stage, (self.predict_split,)):
            labels = clips.label[clips.split == split]
            if labels.empty or (stage == "fit" and split == "train" and labels.nunique() == 1):
                held = "no clip" if labels.empty else "fakes only" if labels.iloc[0] else "real clips only"
                raise DataValueError(
                    f"{self.csv} has {held} in the split {split}, which {stage} needs: add clips with split {split}"
                )
