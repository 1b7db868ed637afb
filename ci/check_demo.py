"""Holds the demo to what it promises: `python .ci/check_demo.py runs/demo`."""

import json
import sys
from pathlib import Path

runs = {path.parents[1].name: json.loads(path.read_text()) for path in Path(sys.argv[1]).glob("*/seed0/metrics.json")}
baselines = [metrics for name, metrics in runs.items() if name.startswith("baseline-") and "test/pixel_iou" in metrics]
model, colour = runs["segmentation"], runs["baseline-colour-regression"]


def gain(key: str) -> float:
    """How far the segmentation row lies above the best trivial baseline."""
    return model[key] - max(metrics[key] for metrics in baselines)


overlays = Path(sys.argv[1]).rglob("overlays/*.png")
held = {
    "pixel IoU >= 0.60": model["test/pixel_iou"] >= 0.60,
    "pixel IoU 0.05 above the best baseline": gain("test/pixel_iou") >= 0.05,
    "balanced pixel IoU 0.15 above the best baseline": gain("test/pixel_iou_balanced") >= 0.15,
    "frame AUROC >= 0.85": model["test/frame_auroc"] >= 0.85,
    "colour regression's frame AUROC <= 0.75": colour["test/frame_auroc"] <= 0.75,
    "geometry of crops tells nothing: AUROC without ties 0.45 to 0.55": 0.45
    <= runs["baseline-geometry-crop"]["test/frame_auroc_untied"]
    <= 0.55,
    "overlays of every method": len({path.name.split("-")[0] for path in overlays}) == 5,
}
for promise, holds in held.items():
    print(f"{'held  ' if holds else 'BROKEN'} {promise}")
sys.exit(not all(held.values()))
