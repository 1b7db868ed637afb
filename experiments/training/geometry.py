"""A detector that never looks at a picture: what the geometry of crops and files alone gives away."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.inspection import permutation_importance
from sklearn.metrics import roc_auc_score
from torch import Tensor

from lightning_modules import Batch

CROP_FEATURES = ("box width", "box height", "box x in the target", "box y in the target")
"""What reaches the network with a crop, at most: its sides, by the blur of resizing, and where the face is in the
recording, by what is seen at its edges. Were a fake told by these, the way of cropping would tell it."""

FILE_FEATURES = (*CROP_FEATURES, "box x in the file", "frame width", "frame height", "frame index", "clip frames")
"""The same, and what only the file knows; no network is shown it."""


class GeometryTrees:
    """Boosted trees on where and how large a crop is, and for `FILE_FEATURES` on what file it is from.

    Args:
        clips: The rows of the index that batches number.
        features: `CROP_FEATURES` or `FILE_FEATURES`.
    """

    def __init__(self, clips: pd.DataFrame, features: Sequence[str]) -> None:
        self.clips = clips
        self.features = list(features)
        self._seen: list[pd.DataFrame] = []
        self._labels: list[Tensor] = []
        self._model = HistGradientBoostingClassifier(class_weight="balanced", random_state=0)

    def update(self, batch: Batch) -> None:
        """Keeps the geometry of a training batch."""
        self._seen.append(self._describe(batch))
        self._labels.append(batch["label"].cpu())

    def fit(self) -> None:
        """Fits the trees to all training batches."""
        self._model.fit(pd.concat(self._seen), torch.cat(self._labels).numpy())

    def __call__(self, batch: Batch) -> tuple[None, Tensor]:
        """Scores frames (B,); says nothing of pixels."""
        return None, torch.from_numpy(self._model.predict_proba(self._describe(batch))[:, 1])

    def importance(self) -> dict[str, float]:
        """How much AUROC on the training frames each feature is worth, the most telling first."""
        seen, labels = pd.concat(self._seen), torch.cat(self._labels).numpy()
        worth = permutation_importance(self._model, seen, labels, scoring="roc_auc", n_repeats=3, random_state=0)
        named = pd.Series(worth.importances_mean, self.features).sort_values(ascending=False)
        return {str(name): round(float(value), 4) for name, value in named.items()}

    def _describe(self, batch: Batch) -> pd.DataFrame:
        clips = self.clips.loc[batch["clip"].tolist()]
        x0, y0, x1, y1 = batch["box"].cpu().double().numpy().T
        dx, width, height, frames = (clips[name].to_numpy() for name in ("dx", "width", "height", "frames"))
        known = {
            "box width": x1 - x0,
            "box height": y1 - y0,
            "box x in the target": x0 + dx,
            "box y in the target": y0,
            "box x in the file": x0,
            "frame width": width,
            "frame height": height,
            "frame index": batch["frame"].cpu().numpy(),
            "clip frames": frames,
        }
        return pd.DataFrame(known)[self.features]


def auroc_without_ties(score: NDArray[np.floating], label: NDArray[np.integer]) -> float:
    """Area under the ROC curve over those pairs of a fake and a real frame whose scores differ; 0.5 where none do.

    One track for an original and all its fakes ties most pairs, and ties count as half: they would draw any metric
    towards 0.5. This one says what is found where something can be.

    Args:
        score: (N,).
        label: (N,), 0 real, 1 fake; both occur.
    """
    score, label = np.asarray(score), np.asarray(label)
    values, place = np.unique(score, return_inverse=True)
    fakes, reals = (np.bincount(place[label == kind], minlength=len(values)).astype(float) for kind in (1, 0))
    pairs, tied = fakes.sum() * reals.sum(), (fakes * reals).sum()
    if pairs == tied:
        return 0.5
    return float((roc_auc_score(label, score) * pairs - tied / 2) / (pairs - tied))
