"""What is measured: our stream and loader, and what others do; each returns how much it did and in how many seconds."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
import cv2
import numpy as np

from datamodules import (
    Clip,
    CropTransform,
    EpochLoader,
    FaceTracks,
    FrameStream,
    StreamOptions,
    clips_of,
    forged_region,
    index,
    read_crops,
)
from datamodules.clips.masks import THRESHOLDS
from datamodules.crops.cache import CropCache

SIDE = 256
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
Result = tuple[float, float]
"""How much was done, in frames or samples, and seconds."""


class AsItIs:
    """Transforms off."""

    def __call__(self, image, mask, key):
        """The crop itself."""
        return image, mask

    def finish(self, batch):
        """The batch as it is."""
        return batch


AS_IT_IS = AsItIs()


@contextmanager
def timed() -> Iterator[Callable[[], float]]:
    """Yields what tells the seconds so far."""
    start = time.perf_counter()
    yield lambda: time.perf_counter() - start


class Clips:
    """The clips of one size, with boxes of 256 pixels in the middle of each frame.

    Args:
        root: Where `clips.write_clip` has written them.
        scratch: An empty folder for caches and PNG files.
    """

    def __init__(self, root: Path, scratch: Path) -> None:
        self.table = index(root, cache_dir=scratch / "facts")
        self.clips = clips_of(self.table)
        self.scratch = scratch
        width, height = self.clips[0].width, self.clips[0].height
        self.size = f"{width}x{height}"
        side = min(SIDE, width, height)
        x, y = (width - side) // 4 * 2, (height - side) // 4 * 2
        boxes = {clip.target: np.tile(np.float32([x, y, x + side, y + side]), (clip.frames, 1)) for clip in self.clips}
        self.tracks = FaceTracks("bench", "bench", boxes, {clip.target: (0, width, height) for clip in self.clips})

    def stream(
        self, count: int, transform=AS_IT_IS, cache: CropCache | None = None, batch_size: int = 32
    ) -> FrameStream:
        """Our training stream, its defaults otherwise."""
        batch_size = min(batch_size, count * len(self.clips) // 2)
        options = StreamOptions(margin=1.0, redraw=False, frames_per_clip=count, batch_size=batch_size)
        return FrameStream(self.table, self.tracks, transform, options, train=True, cache=cache)

    def wanted(self, count: int) -> dict[int, list[int]]:
        """The frames of each clip that the stream gives."""
        frames: dict[int, list[int]] = {}
        for clip, frame in self.stream(count).order().arrivals:
            frames.setdefault(clip, []).append(frame)
        return frames

    def bare_decoder(self) -> Result:
        """Frames of videos and masks that PyAV decodes forward, one thread, no conversion, nothing kept."""
        frames = 0
        with timed() as seconds:
            for path in [path for clip in self.clips for path in (clip.path, clip.mask_path)]:
                with av.open(path) as container:
                    stream = container.streams.video[0]
                    stream.thread_type, stream.codec_context.thread_count = "NONE", 1
                    frames += sum(1 for _ in container.decode(stream))
            return frames, seconds()

    def stream_passed(self, count: int) -> Result:
        """Frames of videos and masks that the stream has gone past, each up to its last wanted one."""
        passed = 2 * sum(frames[-1] + 1 for frames in self.wanted(count).values())
        return passed, self.stream_useful(count)[1]

    def stream_useful(self, count: int, cache: CropCache | None = None) -> Result:
        """Samples of the stream."""
        stream = self.stream(count, cache=cache)
        with timed() as seconds:
            return sum(1 for _ in stream), seconds()

    def decord_loop(self, count: int) -> Result:
        """The same crops, clip after clip, by decord."""
        wanted, crops = self.wanted(count), 0
        with timed() as seconds:
            for clip in self.clips:
                crops += sum(1 for _ in read_crops(clip, wanted[clip.number], self.tracks, 1.0, backend="decord"))
            return crops, seconds()

    def random_access(self, items: int = 32) -> Result:
        """One random frame and its mask per `__getitem__`, each by a fresh decord reader."""
        random = np.random.default_rng(0)
        with timed() as seconds:
            for _ in range(items):
                clip = self.clips[random.integers(len(self.clips))]
                _random_item(clip, int(random.integers(clip.frames)), self.tracks)
            return items, seconds()

    def extract(self, count: int) -> Result:
        """Writes the wanted crops and masks as PNG, then reads them in the stream's order."""
        folder = self.scratch / "png"
        shutil.rmtree(folder, ignore_errors=True)
        wanted, crops = self.wanted(count), 0
        with timed() as seconds:
            for clip in self.clips:
                (folder / str(clip.number)).mkdir(parents=True)
                for crop in read_crops(clip, wanted[clip.number], self.tracks, 1.0):
                    image, mask = _png_paths(folder, clip.number, crop.frame)
                    cv2.imwrite(str(image), cv2.cvtColor(crop.image, cv2.COLOR_RGB2BGR))
                    cv2.imwrite(str(mask), crop.mask)
                    crops += 1
            self.read_png(count)
            return crops, seconds()

    def read_png(self, count: int) -> Result:
        """Reads what `extract` wrote, with OpenCV, in the stream's order."""
        folder, order = self.scratch / "png", self.stream(count).order().leaving
        if not folder.is_dir():
            self.extract(count)
        with timed() as seconds:
            for clip, frame in order:
                image, mask = _png_paths(folder, clip, frame)
                cv2.cvtColor(cv2.imread(str(image)), cv2.COLOR_BGR2RGB)
                cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE)
            return len(order), seconds()

    def filled_cache(self, count: int) -> CropCache:
        """A cache that has seen one epoch."""
        cache = CropCache(self.scratch / "cache", 20.0)
        for _ in self.stream(count, cache=cache):
            pass
        return cache

    def loader(self, count: int, workers: int = 1, transforms: bool = True) -> Result:
        """Samples of the whole loader, with or without training transforms; workers are started outside the time."""
        transform = CropTransform(SIDE, *IMAGENET, augment=True) if transforms else AS_IT_IS
        stream = self.stream(count, transform)
        batches = iter(EpochLoader(stream, lambda: 0, num_workers=workers))
        samples = len(next(batches)["label"])
        with timed() as seconds:
            later = sum(len(batch["label"]) for batch in batches)
            # Workers read ahead while the first batch is waited for: the time of the first counts as theirs too.
            return samples + later, seconds() * (samples + later) / later


def _png_paths(folder: Path, clip: int, frame: int) -> tuple[Path, Path]:
    return folder / str(clip) / f"{frame:04d}.png", folder / str(clip) / f"{frame:04d}-mask.png"


def _random_item(clip: Clip, frame: int, tracks: FaceTracks) -> None:
    import decord

    x0, y0, x1, y1 = tracks.crops(clip, [frame], 1.0)[0]
    for number, path in enumerate((clip.path, clip.mask_path)):
        image = decord.VideoReader(path, num_threads=1)[frame].asnumpy()
        picture = forged_region(image, THRESHOLDS[clip.method]) if number else image
        picture[y0:y1, x0:x1].copy()


def median(values: Iterable[float] | Sequence[float]) -> float:
    """The median of some figures."""
    return float(np.median(list(values)))
