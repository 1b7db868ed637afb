"""What a training goes on from, what keeps it from choosing a model, and whether it has come to its end."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import StochasticWeightAveraging

from ..callbacks.checkpoints import OutOfTimeError, chooser_of, is_trained_whole, time_is_up
from ..errors import ExperimentValueError
from ..runs.checkpoints import damage, put_previous_back, read_checkpoint
from ..runs.folder import RunFolder


def last_checkpoint(run: RunFolder, first: bool) -> Path | None:
    """Finds the checkpoint that a training goes on from; of a damaged one, the one before.

    Args:
        run: The run's folder.
        first: Whether this process is the one that writes there.

    Returns:
        The file; None where nothing is there and the training begins.

    Raises:
        ValueError: Neither can be read, or they are no more than the weights of a training that has ended.
    """
    there = [path for path in (run.last, run.previous) if path.is_file()]
    problems = {path: damage(path) for path in there}
    whole = [path for path in there if not problems[path]]
    if not whole:
        if there:
            said = "; ".join(f"{path} is damaged ({problem})" for path, problem in problems.items())
            raise ExperimentValueError(f"{said}: {_remedy(run)}")
        return None
    if whole[0] != run.last and first:
        problem = f"is damaged ({problems[run.last]})" if run.last in problems else "is gone"
        print(f"{run.last} {problem}: going on from the one before it, {run.previous.name}", file=sys.stderr)
        put_previous_back(run)
    if "optimizer_states" not in read_checkpoint(whole[0], _remedy(run)):
        raise ExperimentValueError(
            f"{run.last} holds the weights of a training that has ended, but {run.best}, which it has chosen, is gone: "
            f"{_remedy(run)}"
        )
    return run.last if first else whole[0]


def best_checkpoint(run: RunFolder) -> Path:
    """The checkpoint that a training has chosen, which has been read to its end if it is there.

    Raises:
        FileNotFoundError: It is gone.
        ValueError: It is damaged.
    """
    if run.best.is_file() or run.read_provenance("fit"):
        read_checkpoint(run.best, _remedy(run))
    return run.best


def _remedy(run: RunFolder) -> str:
    return f"put a whole copy back, or move {run.path} away to train anew"


def given_checkpoint(run: RunFolder, given: str, to_go_on: bool = False) -> str:
    """Checks a checkpoint that was named by hand.

    Args:
        run: The run's folder; `best` and `last` are its own.
        given: Name of the file; one with `://` is left to Lightning.
        to_go_on: Whether a training shall go on from it.

    Returns:
        The file's name.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is damaged, or holds too little.
    """
    path = {"best": run.best, "last": run.last}.get(given, Path(given))
    if "://" not in given and given not in ("hpc", "registry"):
        checkpoint = read_checkpoint(path, "name a run's best.ckpt or last.ckpt as --ckpt_path, or leave it out")
        if to_go_on and "optimizer_states" not in checkpoint:
            raise ExperimentValueError(
                f"--ckpt_path is {path}, which holds weights alone, and no training goes on from those: name a "
                "last.ckpt of one that was interrupted, or start anew with it as --model.init_args.encoder_checkpoint"
            )
    return str(path)


def refuse_without_choice(trainer: Any, trained: bool) -> None:
    """Ends with a sentence where no model would be chosen by a validation.

    Args:
        trainer: Of the run.
        trained: Whether one is trained, and not taken from elsewhere.

    Raises:
        ValueError: None would.
    """
    wanted = {"limit_val_batches": "chosen by validation"}
    if trained:
        wanted |= dict.fromkeys(("limit_train_batches", "max_epochs", "max_steps"), "trained")
    for name, what in wanted.items():
        if getattr(trainer, name) == 0:
            raise ExperimentValueError(f"trainer.{name} is 0, so no model would be {what}: leave it out, or take more")
    if trained and not chooser_of(trainer):
        raise ExperimentValueError(
            "trainer.callbacks lack experiments.callbacks.BestCheckpoint, so the model that validation chooses would "
            "not be kept: add to the callbacks (--trainer.callbacks+=NAME) instead of replacing them"
        )
    if any(isinstance(callback, StochasticWeightAveraging) for callback in trainer.callbacks):
        raise ExperimentValueError(
            "trainer.callbacks hold StochasticWeightAveraging, whose average is made after the last validation, so it "
            "would be neither measured nor kept: use pytorch_lightning.callbacks.EMAWeightAveraging instead"
        )


def refuse_nothing(trainer: Any, stage: str) -> None:
    """Ends with a sentence where a stage would look at no batch.

    Raises:
        ValueError: It would.
    """
    name = {"validate": "limit_val_batches", "test": "limit_test_batches", "predict": "limit_predict_batches"}[stage]
    if getattr(trainer, name) == 0:
        raise ExperimentValueError(f"trainer.{name} is 0, so {stage} would look at nothing: leave it out, or take more")


def train(trainer: Any, run: RunFolder, options: Mapping[str, Any]) -> None:
    """Trains to the end.

    Args:
        trainer: Of the run.
        run: Its folder.
        options: Of `Trainer.fit`.

    Raises:
        ValueError: That was reached without a model.
        SystemExit: With status 1, where the training's time was up before.
    """
    try:
        trainer.fit(**options)
        interrupted = time_is_up(trainer) and not is_trained_whole(trainer, trainer.current_epoch)
    except OutOfTimeError:
        interrupted = True
    if interrupted:
        if trainer.is_global_zero:
            kept = f"goes on from {run.last.name}" if run.last.is_file() else "begins anew"
            done = f"{trainer.current_epoch} of {trainer.max_epochs} epochs"
            print(
                f"error: {run.path} was interrupted behind {done}, for the time of one start (trainer.max_time) is up: "
                f"the same command {kept}",
                file=sys.stderr,
            )
        raise SystemExit(1 if trainer.is_global_zero else 0)  # for any other Lightning kills the first at once
    chooser = chooser_of(trainer)
    if chooser is None or chooser.best_model_score is None:
        raise ExperimentValueError(
            f"the training in {run.path} ended behind {trainer.current_epoch} epochs and was never validated, so no "
            "model is chosen: let it train longer, or validate earlier (trainer.val_check_interval)"
        )
