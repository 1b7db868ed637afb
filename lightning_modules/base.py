"""What segmentation and classification share: one step for three stages, the optimiser, the metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, channels_last
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from .batch import Batch
from .errors import ModelValueError
from .metrics.evaluation import Evaluation
from .metrics.operating_point import OperatingPoint
from .networks.encoders import normalisation
from .networks.network import Network
from .networks.refusals import explain_failure
from .networks.weights_file import require_file
from .optimisation import Recipe, check_recipe, lr_factor, make_optimizer
from .precision import convert_images_alone
from .start import Start, check_start, drop_gradients, set_modes

Stage = Literal["train", "val", "test"]

BY_FRAME_HEAD = "head"
"""Name of the rule by which a frame's score is the frame head's probability."""


class Speed(NamedTuple):
    """What makes a network faster or smaller, and gives the same metrics but for rounding.

    bf16 is Lightning's: `--trainer.precision bf16-mixed`.

    Attributes:
        compile: Whether `torch.compile` builds it; its first batches then take minutes.
        channels_last: Whether images and weights lie channels last, which convolutions on a GPU in bf16 prefer.
        gradient_checkpointing: Whether activations of the backbone are computed again instead of kept. Its batch-norm
            statistics then move twice a step, so where it has some metrics do change a little.
    """

    compile: bool = False
    channels_last: bool = False
    gradient_checkpointing: bool = False


class ForensicsModule(pl.LightningModule):
    """Trains a network and measures it.

    Weights to start from are loaded when a training starts, and at no other time: building, restoring a checkpoint,
    testing and predicting need neither network nor file.

    Args:
        network: Images to logits.
        pixels: Whether masks are predicted, and so judged.
        decisions: Names of the rules that `frame_score` knows; of several, validation chooses one.
        thresholds: Of pixels and of frames; what is None is chosen in validation, see `operating_point.chosen`.
        headline: Metric of the validation that the progress bar shows and by which checkpoints are chosen.
        start: What a training starts from, and what it leaves alone.
        recipe: How the network is trained.
        speed: What makes it faster or smaller.
    """

    def __init__(
        self,
        network: Network,
        pixels: bool,
        decisions: Sequence[str],
        thresholds: tuple[float | None, float | None],
        headline: str,
        start: Start,
        recipe: Recipe,
        speed: Speed,
    ) -> None:
        super().__init__()
        check_recipe(recipe)
        check_start(start)
        self.network = network
        self.decisions = tuple(decisions)
        self.validation = Evaluation(pixels, True, self.decisions, *thresholds)
        self.testing = Evaluation(pixels, False, self.decisions, *thresholds)
        self.headline = headline
        self.start = start
        self.recipe = recipe
        self.speed = speed
        self._mean, self._std = normalisation(network.encoder.name)
        self._weights_due = True
        if start.frozen_epochs == "all":
            network.encoder.backbone.requires_grad_(False)
        if speed.gradient_checkpointing:
            network.encoder.checkpoint_gradients()

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of RGB in [0, 1] that images must be normalised by."""
        return self._mean

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of RGB in [0, 1] that images must be normalised by."""
        return self._std

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Computes logits from images (B, 3, H, W): `mask` (B, classes, H, W), `frame` (B,), or both."""
        if self.speed.channels_last:
            images = images.contiguous(memory_format=channels_last)
        logits: dict[str, Tensor] = self.network(images)
        return logits

    def losses(self, logits: dict[str, Tensor], batch: Batch) -> Tensor:
        """The loss to descend."""
        raise NotImplementedError

    def mask_logit(self, logits: dict[str, Tensor]) -> Tensor | None:
        """Log-odds that each pixel is forged, (B, H, W), if the network has a decoder."""
        raise NotImplementedError

    def frame_logit(self, logits: dict[str, Tensor], mask_logit: Tensor | None, decision: str) -> Tensor:
        """Log-odds that each frame is fake, (B,), by one of `decisions`."""
        raise NotImplementedError

    def predictions(self, logits: dict[str, Tensor]) -> tuple[Tensor | None, Tensor]:
        """Log-odds: of pixels (B, H, W), if there are any, and of frames (B,), by the rule that was chosen."""
        mask_logit = self.mask_logit(logits)
        return mask_logit, self.frame_logit(logits, mask_logit, self.point.decision)

    @property
    def point(self) -> OperatingPoint:
        """Thresholds and rule in use: those chosen by the last validation, which checkpoints keep."""
        return self.testing.point

    @point.setter
    def point(self, point: OperatingPoint) -> None:
        self.validation.point = self.testing.point = point

    def _logits(self, batch: Batch) -> dict[str, Tensor]:
        with explain_failure(self.network, batch["image"]):
            logits: dict[str, Tensor] = self(batch["image"])
        return logits

    def _step(self, batch: Batch, stage: Stage) -> Tensor:
        logits = self._logits(batch)
        loss = self.losses(logits, batch)
        training = stage == "train"
        self.log(
            f"{stage}/loss",
            loss,
            on_step=training,
            on_epoch=not training,
            prog_bar=training,
            batch_size=len(batch["image"]),
            sync_dist=not training,
        )
        if stage == "val":
            masks = self.mask_logit(logits)
            scores = [self.frame_logit(logits, masks, decision) for decision in self.decisions]
            self.validation.update(batch, masks, torch.stack(scores, dim=1), logits=True)
        elif stage == "test":
            self.testing.update(batch, *self.predictions(logits), logits=True)
        return loss

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Trains on a batch."""
        return self._step(batch, "train")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measures a batch."""
        self._step(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Measures a batch."""
        self._step(batch, "test")

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Predicts a batch.

        Returns:
            `mask_probability` (B, H, W) and its log-odds `mask_logit`, if the network has a decoder; `frame_score` (B,)
            and its log-odds `frame_logit`, float64, which rank where scores round to 0 or 1; and from the batch what
            says which frame it was: `label`, `method`, `clip`, `frame`, `box`, as far as they are there.
        """
        mask_logit, frame_logit = self.predictions(self._logits(batch))
        predicted = {"frame_score": frame_logit.sigmoid().float(), "frame_logit": frame_logit}
        if mask_logit is not None:
            predicted |= {"mask_probability": mask_logit.sigmoid(), "mask_logit": mask_logit}
        return predicted | {key: batch[key] for key in ("label", "method", "clip", "frame", "box") if key in batch}

    def on_validation_epoch_start(self) -> None:
        """Forgets what a validation that was interrupted left."""
        self.validation.reset()

    def on_test_epoch_start(self) -> None:
        """Forgets what a test that was interrupted left."""
        self.testing.reset()

    def on_validation_epoch_end(self) -> None:
        """Logs the metrics of the validation."""
        self._log_evaluation("val", self.validation)

    def on_test_epoch_end(self) -> None:
        """Logs the metrics of the test."""
        self._log_evaluation("test", self.testing)

    def _log_evaluation(self, stage: Stage, evaluation: Evaluation) -> None:
        if not self.trainer.sanity_checking:
            # The metrics have gathered all processes' frames, so every process logs the same metrics and `sync_dist`
            # only averages equal numbers; it is set because Lightning warns otherwise.
            metrics = evaluation.compute()
            if (
                stage == "val"
                and self.trainer.state.fn == TrainerFn.FITTING
                and not getattr(self.trainer, "fast_dev_run", False)
            ):
                self.refuse_undefined(float(metrics[self.headline]))
            for key, value in metrics.items():
                shown = stage == "val" and key == self.headline
                self.log(f"{stage}/{key}", value, prog_bar=shown, batch_size=1, sync_dist=True)
            self.point = evaluation.point
        evaluation.reset()

    def refuse_undefined(self, headline: float) -> None:
        """Refuses that anything is chosen by a validation whose headline is not defined.

        Args:
            headline: Its value.

        Raises:
            ValueError: It is NaN or infinite; says what was measured.
        """
        if math.isfinite(headline):
            return
        label = self.validation.measured.label if self.validation.measured else torch.zeros(0)
        raise ModelValueError(
            f"val/{self.headline} is {headline} on the {len(label)} frames of the validation, of which "
            f"{int(label.sum())} are fake, so no model can be chosen by it: validate on originals and on fakes whose "
            "forged pixels are known, and cut the validation less (trainer.limit_val_batches)"
        )

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Builds the optimiser and its schedule, which moves at every step."""
        optimizer = make_optimizer(self.parameters(), self.recipe, self.network.encoder.backbone.parameters())
        total_steps = self.trainer.estimated_stepping_batches
        schedule = LambdaLR(optimizer, lambda step: lr_factor(step, self.recipe, total_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def check_weights(self) -> None:
        """Finds out before a long preparation whether the weights that a training starts from can be had."""
        if not self._weights_due:
            return
        if self.start.encoder_checkpoint:
            require_file(self.start.encoder_checkpoint)
        elif self.start.pretrained:
            self.network.encoder.find_weights()

    def setup(self, stage: str) -> None:
        """Lays out and compiles the network."""
        if self._trainer is not None:
            convert_images_alone(self._trainer)
        if self.speed.channels_last:
            self.network.to(memory_format=channels_last)
        if self.speed.compile:
            self.network.compile()

    def on_fit_start(self) -> None:
        """Loads the weights to start from, unless this training goes on from a checkpoint: it is restored by now."""
        encoder, checkpoint = self.network.encoder, self.start.encoder_checkpoint
        if self._weights_due and checkpoint:
            rank_zero_info(f"encoder {encoder.name!r} from {checkpoint}: {encoder.load_file(checkpoint)}")
        elif self._weights_due and self.start.pretrained:
            encoder.load_weights()
        self._weights_due = False

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Lets rest what is not trained in this epoch; Lightning's hook of an epoch's start is left out on resuming."""
        if self.start.rests:
            set_modes(self.network.encoder, self.start, self.current_epoch)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Leaves alone what is not trained in this epoch."""
        if self.start.is_frozen(self.current_epoch):
            drop_gradients(self.network.encoder)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Stores how images must be normalised, and what the last validation chose."""
        checkpoint["normalisation"] = {"mean": self._mean, "std": self._std}
        checkpoint["operating_point"] = self.point.as_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores both, and keeps the weights to start from from replacing the restored ones."""
        self._mean, self._std = checkpoint["normalisation"]["mean"], checkpoint["normalisation"]["std"]
        self.point = self.testing.given_point(OperatingPoint.read(checkpoint["operating_point"]))
        self._weights_due = False
