"""What every result stands beside: predictions without a network, tested like any model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from tqdm import tqdm

from datamodules.batch import CANVAS_MARGIN
from lightning_modules import (
    Batch,
    Evaluation,
    MeanMask,
    OperatingPoint,
    all_fake,
    all_real,
    centre_box,
    colour_features,
)

from ..evaluation.intervals import write_intervals
from ..evaluation.result import make_result, write_result
from ..runs.data_used import data_of
from ..runs.folder import RunFolder, write_metrics
from ..runs.folder_lock import hold_folder
from ..runs.provenance import data_facts, surroundings
from ..runs.run import Run
from .baseline_folders import OF_PIXELS, Asked, baseline_folders, lock_of_baselines
from .geometry import CROP_FEATURES, FILE_FEATURES, GeometryTrees, auroc_without_ties
from .lightning_cli import ForensicsCLI

Prediction = tuple[Tensor | None, Tensor]


Baseline = Callable[[Batch], Prediction]


class Regression(Protocol):
    """What learns to score frames (B,) by features of training batches."""

    def update(self, batch: Batch) -> None:
        """Keeps the features of a training batch."""

    def fit(self) -> None:
        """Fits to all training batches."""

    def __call__(self, batch: Batch) -> Prediction:
        """Scores frames (B,); says nothing of pixels."""


class ColourRegression:
    """A logistic regression on a crop's colour means, deviations and Laplacian energy: it looks for no forgery.

    On a data set where it does well, real and fake frames differ by their overall look, and detecting fakes is no feat.
    """

    def __init__(self) -> None:
        self._features: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))

    def update(self, batch: Batch) -> None:
        """Keeps the features of a training batch."""
        self._features.append(colour_features(batch["image"]))
        self._labels.append(batch["label"])

    def fit(self) -> None:
        """Fits the regression to all training batches."""
        self._model.fit(torch.cat(self._features).double().numpy(), torch.cat(self._labels).numpy())

    def __call__(self, batch: Batch) -> Prediction:
        """Scores frames (B,); says nothing of pixels."""
        features = colour_features(batch["image"]).double().numpy()
        return None, torch.from_numpy(self._model.predict_proba(features)[:, 1])


def run_baselines(cli: ForensicsCLI) -> None:
    """Fits the baselines on the training split, lets validation choose, tests, and leaves each in a folder of its own.

    Crops are those at margin 1.3 with the official labels, and masks fill the canvas, so they stand beside rows of any
    crop and labels.

    Args:
        cli: A row of the table they belong to, built and not run; its data are used, its model is not.
    """
    run = Run.at(cli.folder.path)
    with hold_folder(lock_of_baselines(run.runs, run.table, run.seed)):
        _run_baselines(cli, baseline_folders(run.runs, run.table, run.seed), run.runs / run.table)


def _run_baselines(cli: ForensicsCLI, folders: Mapping[str, RunFolder], table: Path) -> None:
    asked = Asked.of(cli.resolved, data_of(cli.datamodule.files(), cli.resolved, None))
    if all(asked.lies_in(folder) for folder in folders.values()):
        print(f"{table}: the baselines have been tested already")
        return
    data = _use_test_crops(cli)
    data.prepare_data()
    data.setup("fit")
    mean_mask = MeanMask()
    regressions: dict[str, Regression] = {
        "baseline-colour-regression": ColourRegression(),
        "baseline-geometry-crop": GeometryTrees(data.clips, CROP_FEATURES),
        "baseline-geometry-file": GeometryTrees(data.clips, FILE_FEATURES),
    }
    for batch in tqdm(data.train_dataloader(), "fitting baselines", unit="batch"):
        mean_mask.update(batch)
        for regression in regressions.values():
            regression.update(batch)
    for regression in regressions.values():
        regression.fit()
    constants = {"baseline-all-fake": all_fake, "baseline-all-real": all_real, "baseline-centre-box": centre_box}
    baselines: dict[str, Baseline] = {**constants, "baseline-mean-mask": mean_mask, **regressions}
    validation = _evaluate(baselines, data.val_dataloader(), "validating baselines", {})
    for folder in folders.values():
        folder.count_test()
    data.setup("test")
    points = {name: evaluation.point for name, evaluation in validation.items()}
    for name, evaluation in _evaluate(baselines, data.test_dataloader(), "testing baselines", points).items():
        result = make_result(evaluation, data.clips)
        metrics = {f"test/{key}": float(value) for key, value in evaluation.compute().items()}
        facts = {**surroundings(), "config": asked.key, "data": asked.data, **data_facts(data)}
        facts["frames"] = len(result.frames)
        facts["operating_point"] = evaluation.point.as_dict()
        if isinstance(baseline := baselines[name], GeometryTrees):
            frames = result.frames
            metrics["test/frame_auroc_untied"] = auroc_without_ties(frames["score"], frames["label"])
            facts["importance"] = baseline.importance()
        folders[name].note("test", facts)
        write_result(result, folders[name], None)
        write_intervals(result, folders[name], None)
        write_metrics(folders[name].metrics(None), metrics)
    print(f"wrote {len(baselines)} baselines to {table}")


def _use_test_crops(cli: ForensicsCLI) -> Any:
    """The row's data with crops to learn by that are those of a test: where pixels are measured, and as they are."""
    given = {**cli.resolved["data"].get("dict_kwargs", {}), **cli.resolved["data"]["init_args"]}
    frames = min(given[name] for name in ("frames_per_clip", "eval_frames_per_clip") if name in given)
    wanted = {"augment": False, "margin": CANVAS_MARGIN, "labels": "official", "frames_per_clip": frames}
    return type(cli.datamodule)(**given | {name: wanted[name] for name in wanted.keys() & given.keys()})


def _evaluate(
    baselines: Mapping[str, Baseline],
    batches: Iterable[Batch],
    title: str,
    points: Mapping[str, OperatingPoint],
) -> dict[str, Evaluation]:
    """Measures baselines on a split: at operating points that are known, or else choosing them."""
    evaluations = {name: Evaluation(pixels=name in OF_PIXELS, choosing=not points) for name in baselines}
    for name, point in points.items():
        evaluations[name].point = point
    for batch in tqdm(batches, title, unit="batch"):
        for name, predict in baselines.items():
            filling = {"box": batch["canvas_box"]} if name in OF_PIXELS else {}
            evaluations[name].update({**batch, **filling}, *predict(batch))
    for evaluation in evaluations.values():
        evaluation.compute()
    return evaluations
