"""One training step: the module under a Trainer against a loop written by hand, on the same batches in memory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import segmentation_models_pytorch as smp
import torch
from pytorch_lightning.loggers import CSVLogger
from torch.nn import functional as F
from torch.optim import AdamW
from torch.utils.data import DataLoader

from lightning_modules import SegmentationModule
from tests.benchmarks.contestants import Result

BATCH, SIZE, STEPS = 8, 224, 6


def batches() -> list[dict[str, torch.Tensor]]:
    """Batches of noise with square masks, one of warm-up and those that are timed."""
    random = torch.Generator().manual_seed(0)
    mask = torch.zeros(BATCH, SIZE, SIZE, dtype=torch.int64)
    mask[: BATCH // 2, 50:150, 50:150] = 1
    label = mask.amax((1, 2))
    return [
        {"image": torch.randn(BATCH, 3, SIZE, SIZE, generator=random), "mask": mask, "label": label}
        for _ in range(STEPS + 1)
    ]


class Clock(pl.Callback):
    """Times the steps after the first."""

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Notes when the first and the last step end."""
        if batch_idx == 0:
            self.start = time.perf_counter()
        self.end = time.perf_counter()


def module_step(scratch: Path) -> Result:
    """resnet50-unet as the tables train it."""
    clock = Clock()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[clock],
        logger=CSVLogger(scratch / "training"),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        limit_val_batches=0,
    )
    trainer.fit(SegmentationModule("resnet50", "unet", pretrained=False), DataLoader(batches(), batch_size=None))
    return STEPS, clock.end - clock.start


def loop_step() -> Result:
    """The same network as segmentation_models_pytorch has it, binary cross-entropy, Dice and AdamW, by hand."""
    network = smp.Unet("tu-resnet50", encoder_weights=None)
    optimizer = AdamW(network.parameters(), lr=3e-4, weight_decay=0.01)
    start = 0.0
    for i, batch in enumerate(batches()):
        optimizer.zero_grad()
        logits, mask = network(batch["image"]).squeeze(1), batch["mask"].float()
        probability = logits.sigmoid()
        dice = 1 - (2 * (probability * mask).sum() + 1e-6) / (probability.sum() + mask.sum() + 1e-6)
        (F.binary_cross_entropy_with_logits(logits, mask) + dice).backward()
        optimizer.step()
        if i == 0:
            start = time.perf_counter()
    return STEPS, time.perf_counter() - start
