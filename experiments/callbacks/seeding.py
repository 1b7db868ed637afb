"""Random numbers of a training that goes on as if it had not been broken off."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer


class SeedEachBatch(Callback):
    """Seeds torch by seed, epoch, batch and process: a resumed training draws the dropout of an undisturbed one."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Seeds torch; frames and augmentation have seeds of their own."""
        key = [int(os.environ.get("PL_GLOBAL_SEED", 0)), trainer.current_epoch, trainer.global_rank, batch_idx]
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
