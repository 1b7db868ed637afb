"""Other precisions than float32: of a batch the image alone is converted."""

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from lightning_modules import SegmentationModule
from tests.lightning_modules.test_modules import QUIET

BOX, CANVAS_BOX = (331.0, 257.0, 1279.0, 719.0), (333.0, 259.0, 1277.0, 717.0)


class Watched(SegmentationModule):
    """Keeps what each step was given."""

    def __init__(self):
        super().__init__("test_resnet", "fcn", pretrained=False, optimizer="sgd")
        self.seen = {}

    def _step(self, batch, stage):
        self.seen[stage] = batch
        return super()._step(batch, stage)


@pytest.mark.parametrize("precision", ["32-true", "bf16-true", "16-true", "64-true", "bf16-mixed"])
def test_boxes_stay_exact_in_every_precision(precision):
    torch.manual_seed(0)
    batch = {
        "image": torch.rand(2, 3, 32, 32),
        "mask": torch.randint(0, 2, (2, 32, 32)),
        "canvas": torch.randint(0, 2, (2, 16, 16)),
        "label": torch.tensor([0, 1]),
        "clip": torch.arange(2),
        "box": torch.tensor([BOX, BOX]),
        "canvas_box": torch.tensor([CANVAS_BOX, CANVAS_BOX]),
    }
    module = Watched()
    trainer = pl.Trainer(max_epochs=1, precision=precision, **QUIET)
    loader = DataLoader([batch], batch_size=None)
    trainer.fit(module, loader, loader)
    trainer.test(module, loader, verbose=False)
    predicted = trainer.predict(module, loader)[0]
    wanted = {"bf16": torch.bfloat16, "16": torch.float16, "64": torch.float64}.get(precision.removesuffix("-true"))
    assert module.seen.keys() == {"train", "val", "test"}
    for seen in module.seen.values():
        assert seen["image"].dtype == (wanted or torch.float32)
        assert seen["box"].tolist() == [list(BOX)] * 2
        assert seen["canvas_box"].tolist() == [list(CANVAS_BOX)] * 2
    assert predicted["box"].tolist() == [list(BOX)] * 2
    assert predicted["mask_probability"].isfinite().all()
