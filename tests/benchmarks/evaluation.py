"""What measuring costs beside predicting, and whether it holds on to memory."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psutil
import torch
from tqdm import tqdm

from lightning_modules import Evaluation, SegmentationModule
from tests.benchmarks.contestants import Result
from tests.benchmarks.memory import MB

BATCH, SIZE, BATCHES = 32, 256, 3
FRAMES_A_CLIP = 100

Batch = dict[str, torch.Tensor]


def batches(count: int) -> Iterator[Batch]:
    """Batches of noise, clip after clip, whose crop is not the canvas: predictions must be laid over it."""
    random = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 3, SIZE, SIZE, generator=random)
    canvas = torch.zeros(BATCH, SIZE, SIZE, dtype=torch.int64)
    canvas[: BATCH // 2, 60:180, 60:180] = 1
    label = canvas.amax((1, 2))
    box = torch.tensor([[100.0, 50.0, 300.0, 250.0]]).expand(BATCH, -1)
    for number in range(count):
        place = number * BATCH + torch.arange(BATCH)
        yield {
            "image": images,
            "canvas": canvas,
            "label": label,
            "method": label,
            "clip": place // FRAMES_A_CLIP,
            "frame": place % FRAMES_A_CLIP,
            "box": box,
            "canvas_box": box + 10,
        }


def forward(encoder: str, measured: bool) -> Result:
    """Frames through a UNet without gradients; with `measured`, a whole validation of them, its figures included."""
    module = SegmentationModule(encoder, "unet", pretrained=False).eval()
    start = 0.0
    with torch.inference_mode():
        for number, batch in enumerate(batches(1 + BATCHES)):
            if number == 1:
                start = time.perf_counter()
            logits = module(batch["image"])
            if measured:
                masks = module.mask_logit(logits)
                scores = [module.frame_logit(logits, masks, decision) for decision in module.decisions]
                module.validation.update(batch, masks, torch.stack(scores, dim=1), logits=True)
        if measured:
            module.validation.compute()
    return BATCH * BATCHES, time.perf_counter() - start


def growth_by_measuring(frames: int) -> tuple[float, float]:
    """Resident memory after the first tenth and after all of many frames were measured, in MB."""
    evaluation = Evaluation()
    masks = torch.rand(BATCH, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    scores = torch.full((BATCH,), 0.5)
    early, steps = 0.0, frames // BATCH
    for number, batch in enumerate(tqdm(batches(steps), "measuring", total=steps, unit="batch")):
        evaluation.update(batch, masks, scores)
        if number == steps // 10:
            early = psutil.Process().memory_info().rss / MB
    return early, psutil.Process().memory_info().rss / MB
