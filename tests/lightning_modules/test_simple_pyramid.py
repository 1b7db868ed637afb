"""A pyramid over flat transformers: its sizes, and where its cells lie."""

import pytest
import torch

from lightning_modules.networks.encoders import Encoder
from lightning_modules.networks.simple_pyramid import SimplePyramid, _sample


@pytest.mark.parametrize("name", ["test_vit", "vit_small_patch14_dinov2", "vit_tiny_patch16_224"])
@pytest.mark.parametrize("size", [(224, 224), (225, 161), (64, 96)])
@torch.no_grad()
def test_every_scale_has_the_size_its_stride_says(name, size):
    maps = Encoder(name).eval()(torch.rand(1, 3, *size))
    assert [tuple(map_.shape) for map_ in maps] == [
        (1, 256, -(-size[0] // s), -(-size[1] // s)) for s in (4, 8, 16, 32)
    ]


@torch.no_grad()
def test_a_map_is_sampled_at_the_centres_of_the_cells():
    cell = 14.0
    centres = (torch.arange(16) + 0.5) * cell  # each cell knows where its centre lies, in pixels
    map_ = torch.stack(torch.meshgrid(centres, centres, indexing="ij"))[None]
    rows, columns = _sample(map_, cell, 16, (14, 12))[0]
    expected = (torch.arange(14) + 0.5) * 16
    torch.testing.assert_close(rows, expected[:, None].expand(14, 12))
    torch.testing.assert_close(columns, expected[None, :12].expand(14, 12))


@torch.no_grad()
def test_a_map_whose_cells_fit_is_only_cut():
    map_ = torch.rand(1, 2, 5, 7)
    assert torch.equal(_sample(map_, 16.0, 16, (4, 7)), map_[..., :4, :])


@pytest.mark.parametrize(("patch", "factors"), [(14, (4, 2, 1, 0.5)), (8, (2, 1, 0.5, 0.25)), (32, (8, 4, 2, 1))])
@torch.no_grad()
def test_scales_double_or_halve_by_the_patch(patch, factors):
    pyramid = SimplePyramid(64, patch, (4, 8, 16, 32), width=16)
    assert [scale(torch.rand(1, 64, 8, 8)).shape[-1] / 8 for scale in pyramid.scales] == list(factors)
