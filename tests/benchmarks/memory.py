"""What a worker holds in memory, and whether anything grows or stays behind."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

import psutil

from datamodules import CropTransform, EpochLoader
from datamodules.packets import decode

from .contestants import IMAGENET, Clips

MB = 2**20


def worker_memory(clips: Clips, epochs: int = 10, count: int = 32) -> tuple[list[float], list[float]]:
    """Largest resident and proportional memory of one worker in each epoch, at the defaults and 299 pixels, in MB."""
    stream = clips.stream(count, CropTransform(299, *IMAGENET, augment=True))
    epoch = [0]
    loader = EpochLoader(stream, lambda: epoch[0], batch_size=stream.batch_size, num_workers=1)
    resident, proportional = [], []
    for epoch[0] in range(epochs):
        peaks = (0.0, 0.0)
        for _ in loader:
            for child in psutil.Process().children():
                try:
                    memory = child.memory_full_info()
                except psutil.Error:  # it has just ended
                    continue
                peaks = max(peaks[0], memory.rss / MB), max(peaks[1], memory.pss / MB)
        resident.append(peaks[0])
        proportional.append(peaks[1])
    return resident, proportional


def growth_in_one_process(clips: Clips, epochs: int = 10, count: int = 16) -> list[float]:
    """Resident memory of this process after each epoch of a stream without workers, in MB."""
    stream = clips.stream(count)
    sizes = []
    for stream.epoch in range(epochs):
        for _ in stream:
            pass
        gc.collect()
        sizes.append(psutil.Process().memory_info().rss / MB)
    return sizes


def growth_by_opening(
    clips: Clips, opens: int, progress: Callable[[int], None] = lambda _: None
) -> tuple[float, float]:
    """Resident memory after the first tenth and after all of many opens of a video, one frame read each, in MB."""
    path = Path(clips.clips[0].path)
    early = 0.0
    for number in range(opens):
        for _ in decode(path, [0]):
            pass
        if number == opens // 10:
            early = psutil.Process().memory_info().rss / MB
        progress(1)
    return early, psutil.Process().memory_info().rss / MB


def left_behind(clips: Clips) -> list[str]:
    """Handles, threads and processes that a loader closed half-way leaves behind."""

    def held() -> list[str]:
        process = psutil.Process()
        files = [file.path for file in process.open_files()]
        return [*files, *(f"process {child.pid}" for child in process.children())]

    before, threads = set(held()), psutil.Process().num_threads()
    batches = iter(EpochLoader(clips.stream(16), lambda: 0, batch_size=8, num_workers=2))
    next(batches)
    batches.close()
    del batches
    gc.collect()
    more = psutil.Process().num_threads() - threads
    return [*(set(held()) - before), *(["a thread"] * max(0, more))] if os.name == "posix" else []
