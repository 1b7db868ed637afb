"""What every result stands beside: predictions without a network, tested like any model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from tqdm import tqdm

from lightning_modules import Batch, Evaluation, MeanMask, all_fake, all_real, centre_box, colour_features

from .folder import RunFolder, config_hash, surroundings, write_metrics
from .row import ForensicsCLI

NAMES = (
    "baseline-all-fake",
    "baseline-all-real",
    "baseline-centre-box",
    "baseline-mean-mask",
    "baseline-colour-regression",
)

Prediction = tuple[Tensor | None, Tensor]


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
        return None, torch.from_numpy(self._model.predict_proba(features)[:, 1].astype(np.float32))


def run_baselines(cli: ForensicsCLI) -> None:
    """Fits the baselines on the training split, tests them, and leaves each in a row's folder of its own.

    Args:
        cli: A row of the table they belong to, built and not run; its data are used, its model is not.
    """
    data, table, seed = cli.datamodule, cli.folder.path.parents[1], cli.folder.path.name
    config = config_hash(cli.resolved["data"])
    folders = {name: RunFolder(table / name / seed) for name in NAMES}
    if all(folder.metrics(None).is_file() and folder.noted("test")["config"] == config for folder in folders.values()):
        print(f"{table}: the baselines have been tested already")
        return
    data.augment = False
    data.frames_per_clip = min(data.frames_per_clip, data.eval_frames_per_clip)
    data.prepare_data()
    data.setup("fit")
    mean_mask, colour = MeanMask(), ColourRegression()
    for batch in tqdm(data.train_dataloader(), "fitting baselines", unit="batch"):
        mean_mask.update(batch)
        colour.update(batch)
    colour.fit()
    predictors: tuple[Callable[[Batch], Prediction], ...] = (all_fake, all_real, centre_box, mean_mask, colour)
    baselines = dict(zip(NAMES, predictors, strict=True))
    evaluations = {name: Evaluation(pixels=name != NAMES[-1]) for name in baselines}
    for batch in tqdm(data.test_dataloader(), "testing baselines", unit="batch"):
        for name, predict in baselines.items():
            evaluations[name].update(batch, *predict(batch))
    for name, evaluation in evaluations.items():
        metrics = {f"test/{key}": float(value) for key, value in evaluation.compute().items()}
        write_metrics(folders[name].metrics(None), metrics)
        faces = {"source": data.tracks.source, "digest": data.tracks.digest}
        folders[name].note("test", {**surroundings(), "config": config, "faces": faces})
    print(f"wrote {len(evaluations)} baselines to {table}")
