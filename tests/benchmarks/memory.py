"""What a worker holds in memory, and whether anything grows or stays behind; each runs in a process of its own."""

from __future__ import annotations

import gc
from pathlib import Path

import psutil
from tqdm import tqdm

from datamodules import CropTransform, EpochLoader
from datamodules.video.packets import decode
from tests.benchmarks.contestants import IMAGENET, Clips

MB = 2**20


def worker_memory(root: Path, scratch: Path, epochs: int, count: int) -> dict[str, list[float]]:
    """Largest memory of one worker in each epoch at the defaults and 299 pixels, in MB.

    Resident memory counts what it shares with its parent, the libraries above all, as its own; shared out, a page that
    two processes share counts half.
    """
    stream = Clips(root, scratch / root.name).stream(count, CropTransform(299, *IMAGENET, augment=True))
    epoch = [0]
    loader = EpochLoader(stream, lambda: epoch[0], num_workers=1)
    found: dict[str, list[float]] = {"resident_mb": [], "shared_out_mb": []}
    for epoch[0] in tqdm(range(epochs), f"memory of a worker, {root.name}", unit="epoch"):
        resident, shared_out = 0.0, 0.0
        for _ in loader:
            for child in psutil.Process().children():
                memory = child.memory_full_info()
                resident, shared_out = max(resident, memory.rss / MB), max(shared_out, memory.pss / MB)
        found["resident_mb"].append(resident)
        found["shared_out_mb"].append(shared_out)
    return found


def growth_in_one_process(root: Path, scratch: Path, epochs: int = 10, count: int = 16) -> list[float]:
    """Resident memory of this process after each epoch of a stream without workers, in MB."""
    stream = Clips(root, scratch / root.name).stream(count)
    sizes = []
    for stream.epoch in range(epochs):
        for _ in stream:
            pass
        gc.collect()
        sizes.append(psutil.Process().memory_info().rss / MB)
    return sizes


def growth_by_opening(root: Path, scratch: Path, opens: int) -> tuple[float, float]:
    """Resident memory after the first tenth and after all of many opens of a video, one frame read each, in MB."""
    path = Path(Clips(root, scratch / root.name).clips[0].path)
    early = 0.0
    for number in tqdm(range(opens), "opening", unit="open"):
        for _ in decode(path, [0]):
            pass
        if number == opens // 10:
            early = psutil.Process().memory_info().rss / MB
    return early, psutil.Process().memory_info().rss / MB


def left_behind(root: Path, scratch: Path) -> list[str]:
    """Handles, threads and processes that a loader closed half-way leaves behind."""

    def held() -> set[str]:
        process = psutil.Process()
        files = {file.path for file in process.open_files()}
        return files | {f"process {child.pid}" for child in process.children()}

    stream = Clips(root, scratch / root.name).stream(16, batch_size=8)
    before, threads = held(), psutil.Process().num_threads()
    batches = iter(EpochLoader(stream, lambda: 0, num_workers=2))
    next(batches)
    batches.close()
    del batches
    gc.collect()
    more = psutil.Process().num_threads() - threads
    return [*(held() - before), *(["a thread"] * max(0, more))]
