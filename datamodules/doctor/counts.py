"""What there is, in figures: clips by split, frames without truth, masks by what they cover."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..clips.index import clips_of
from ..clips.masks import THRESHOLDS, mask_shift
from ..clips.splits import SPLITS, Splits, split_of_identities
from .findings import count_unpairable, expected_length
from .looks import Look

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def clip_counts(clips: pd.DataFrame, splits: Splits | None) -> pd.DataFrame:
    """Counts the clips of one quality.

    Returns:
        By method: clips of each split (`none`: of ids that no split knows, if there are any), `frames`, `no truth`
        (frames without a usable mask), `size` (masks of another size than their clip), `length`
        (fakes of another length than their method gives them).
    """
    numbered = clips["target"].str.fullmatch(r"\d{3}")
    home = split_of_identities(splits) if splits else {}
    split = clips["target"].map(lambda target: home.get(target, "none")).where(numbered, "test")
    columns = [*SPLITS, "none"] if "none" in set(split) else SPLITS
    counts = pd.crosstab(clips["method"], split).reindex(
        index=clips["method"].unique(), columns=list(columns), fill_value=0
    )
    rows = clips_of(clips)
    originals = {clip.target: clip for clip in rows if not clip.label and clip.frames}
    facts = pd.DataFrame(
        {
            "method": [clip.method for clip in rows],
            "frames": [clip.frames for clip in rows],
            "no truth": [count_unpairable(clip) for clip in rows],
            "size": [int(bool(clip.mask_frames) and mask_shift(clip) is None) for clip in rows],
            "length": [int(bool(clip.frames) and clip.frames != expected_length(clip, originals)) for clip in rows],
        }
    )
    return counts.join(facts.groupby("method").sum())


def mask_counts(looks: Sequence[Look]) -> pd.DataFrame:
    """Counts what masks hold in the frames looked at.

    Returns:
        By method: `masks`, `frames` looked at, `empty` ones, and quantiles of the forged share of the crop at
        margin 1.3 in the others (`5 %` to `95 %`).
    """
    masks = [mask for each in looks for mask in each.masks]
    rows = {}
    for method in THRESHOLDS:
        own = [mask for mask in masks if mask.method == method]
        shares = [share for mask in own for share in mask.shares]
        if own:
            counts = {"masks": len(own), "frames": sum(m.frames for m in own), "empty": sum(m.empty for m in own)}
            quantiles = np.quantile(shares, QUANTILES) if shares else [np.nan] * len(QUANTILES)
            rows[method] = counts | {
                f"{q:.0%}".replace("%", " %"): v for q, v in zip(QUANTILES, quantiles, strict=True)
            }
    return pd.DataFrame.from_dict(rows, orient="index")
