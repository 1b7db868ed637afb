"""Pixel and frame losses: values worked out by hand, and what unknown pixels and real frames contribute."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from segmentation_models_pytorch.losses import DiceLoss, FocalLoss, LovaszLoss, TverskyLoss
from segmentation_models_pytorch.losses._functional import softmax_focal_loss_with_logits
from torch.nn import functional as F

from lightning_modules import UNKNOWN
from lightning_modules.losses import bce, dice, focal, frame_loss, lovasz, tversky

PIXELWISE = [bce, focal]
OVERLAPS = [dice, tversky, lovasz]
LOSSES = [*PIXELWISE, *OVERLAPS]
CHANNELS = [1, 4]  # a logit of being forged; real and three methods

losses = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
overlaps = pytest.mark.parametrize("loss", OVERLAPS, ids=lambda loss: loss.__name__)
pixelwise = pytest.mark.parametrize("loss", PIXELWISE, ids=lambda loss: loss.__name__)
channels = pytest.mark.parametrize("channels", CHANNELS)


def logit(probability):
    return torch.tensor(probability).logit()


def one_logit_and_its_softmax(probabilities):
    """Logits of pixels in a row, (1, 1, 1, W), and the same probabilities of two classes, (1, 2, 1, W)."""
    forged = torch.tensor([[[probabilities]]])
    return forged.logit(), torch.cat([1 - forged, forged], 1).log()


def batch(channels=1, unknown=True):
    torch.manual_seed(0)
    mask = torch.randint(0, max(channels, 2), (3, 8, 8))
    if unknown:
        mask[0, :4] = UNKNOWN
        mask[2] = UNKNOWN
    return torch.randn(3, channels, 8, 8, requires_grad=True), mask


def gradient_of(loss, logits, mask, **options):
    value = loss(logits, mask, **options)
    return torch.autograd.grad(value, logits)[0]


ROW = [0.9, 0.2, 0.4, 0.5]  # probabilities of being forged
MASK = torch.tensor([[[1, 0, 1, UNKNOWN]]])


@pytest.mark.parametrize("logits", one_logit_and_its_softmax(ROW), ids=["sigmoid", "softmax"])
def test_pixelwise_losses_by_hand(logits):
    assert bce(logits, MASK).item() == pytest.approx(-(math.log(0.9) + math.log(0.8) + math.log(0.4)) / 3)
    terms = 0.1**2 * math.log(0.9) + 0.2**2 * math.log(0.8) + 0.6**2 * math.log(0.4)
    assert focal(logits, MASK).item() == pytest.approx(-terms / 3)


def test_overlap_of_one_logit_by_hand():
    logits, _ = one_logit_and_its_softmax(ROW)
    assert dice(logits, MASK).item() == pytest.approx(1 - 2 * 1.3 / (1.5 + 2), abs=1e-6)
    assert tversky(logits, MASK).item() == pytest.approx(1 - 1.3 / (1.3 + 0.3 * 0.2 + 0.7 * 0.7), abs=1e-6)


def test_overlap_of_two_classes_by_hand():
    _, logits = one_logit_and_its_softmax(ROW)
    forged, real = 2 * 1.3 / (1.5 + 2), 2 * 0.8 / (1.5 + 1)
    assert dice(logits, MASK).item() == pytest.approx(1 - (forged + real) / 2, abs=1e-6)
    forged, real = 1.3 / (1.3 + 0.3 * 0.2 + 0.7 * 0.7), 0.8 / (0.8 + 0.3 * 0.7 + 0.7 * 0.2)
    assert tversky(logits, MASK).item() == pytest.approx(1 - (forged + real) / 2, abs=1e-6)


def test_lovasz_by_hand():
    # errors 1.5 (forged), 1.25 (real), 0 (forged); Jaccard losses of the worst 1, 2, 3 pixels: 1/2, 2/3, 1
    logits = torch.tensor([[[[-0.5, 0.25, 3.0, math.nan]]]])
    mask = torch.tensor([[[1, 0, 1, UNKNOWN]]])
    assert lovasz(logits, mask).item() == pytest.approx(1.5 / 2 + 1.25 / 6)
    # errors 0.6 (forged), 0.2 (real), 0.1 (forged), of both classes; Jaccard losses of real: 1/2, 1, 1
    _, logits = one_logit_and_its_softmax(ROW)
    forged, real = 0.6 / 2 + 0.2 / 6 + 0.1 / 3, 0.6 / 2 + 0.2 / 2
    assert lovasz(logits, MASK).item() == pytest.approx((forged + real) / 2)


def test_misses_weigh_more_than_false_alarms_in_tversky():
    mask = torch.tensor([[[1, 1, 0, 0]]])
    miss, alarm = torch.tensor([[[[30.0, -30, -30, -30]]]]), torch.tensor([[[[30.0, 30, 30, -30]]]])
    assert tversky(miss, mask).item() == pytest.approx(0.7 / 1.7, abs=1e-6)
    assert tversky(alarm, mask).item() == pytest.approx(0.3 / 2.3, abs=1e-6)


def test_one_logit_calls_every_method_forged():
    logits, mask = batch()
    methods = torch.where(mask == 1, torch.randint(1, 7, mask.shape), mask)
    for loss in LOSSES:
        assert torch.equal(loss(logits, methods), loss(logits, mask))


@channels
def test_losses_are_those_of_segmentation_models_pytorch_where_each_class_is_present(channels):
    logits, mask = batch(channels, unknown=False)
    if channels == 1:
        target = mask[:, None]
        theirs = {dice: DiceLoss("binary"), tversky: TverskyLoss("binary", alpha=0.3, beta=0.7)}
        theirs |= {focal: FocalLoss("binary", gamma=2.0), lovasz: LovaszLoss("binary")}
    else:
        target = mask
        theirs = {dice: DiceLoss("multiclass"), tversky: TverskyLoss("multiclass", alpha=0.3, beta=0.7)}
        theirs |= {focal: softmax_focal_loss_with_logits, lovasz: LovaszLoss("multiclass")}
    for ours, their in theirs.items():
        torch.testing.assert_close(ours(logits, mask), their(logits, target))
        torch.testing.assert_close(
            gradient_of(ours, logits, mask), torch.autograd.grad(their(logits, target), logits)[0]
        )


@channels
def test_lovasz_leaves_out_unknown_pixels_as_segmentation_models_pytorch_does(channels):
    logits, mask = batch(channels)
    theirs = LovaszLoss("binary" if channels == 1 else "multiclass", ignore_index=UNKNOWN)
    torch.testing.assert_close(lovasz(logits, mask), theirs(logits, mask))


@channels
@losses
def test_unknown_pixels_might_as_well_not_be_there(loss, channels):
    logits, mask = batch(channels)
    known = mask != UNKNOWN
    packed = logits.movedim(1, 0)[:, known][None, :, None]  # (1, C, 1, known pixels)
    torch.testing.assert_close(loss(logits, mask), loss(packed, mask[known][None, None]))


def jaccard_loss(wrong, truth):
    """1 - IoU of a class once the `wrong` pixels of it and of others are swapped."""
    called = truth ^ wrong
    return 1 - (called & truth).sum() / (called | truth).sum()


def test_lovasz_is_an_integral_over_levels_of_error():
    """The Lovász extension of a set function is the integral of its values on {error > level}."""
    logits, mask = batch(unknown=False)
    truth = mask.flatten().numpy() == 1
    errors = np.maximum(0, 1 - logits.detach().flatten().double().numpy() * np.where(truth, 1, -1))
    levels = np.unique([0, *errors])
    value = sum(jaccard_loss(errors > low, truth) * (high - low) for low, high in pairwise(levels))
    assert lovasz(logits, mask).item() == pytest.approx(value, rel=1e-5)


def test_lovasz_on_right_or_wrong_pixels_is_the_jaccard_loss():
    mask = torch.tensor([[[1, 1, 1, 2, 2, 0, 0, 0, UNKNOWN]]])
    called = torch.tensor([[[1, 1, 2, 2, 0, 0, 0, 1, 1]]])
    logits = 60.0 * F.one_hot(called, 3).movedim(-1, 1)
    assert lovasz(logits, mask).item() == pytest.approx(1 - (2 / 4 + 1 / 3 + 2 / 4) / 3)


def test_overlaps_keep_their_digits_among_many_pixels():
    torch.manual_seed(0)
    mask = (torch.rand(4, 512, 512) < 0.0005).long()
    logits = torch.randn(4, 1, 512, 512)
    soft, true = logits.double().sigmoid().squeeze(1), mask.double()
    both = (soft * true).sum()
    index = both / (both + 0.3 * (soft.sum() - both) + 0.7 * (true.sum() - both))
    assert 1 - tversky(logits, mask).item() == pytest.approx(index.item(), rel=1e-3)

    mask = (torch.rand(4, 512, 512) < 0.3).long()
    gradient = gradient_of(lovasz, logits.requires_grad_(), mask).abs().flatten().double()
    errors = (1 - logits.double().flatten() * (2 * mask.flatten() - 1)).detach()
    order = errors.argsort(descending=True)
    hits = mask.flatten()[order].cumsum(0).double()
    index = (hits[-1] - hits) / (hits[-1] + torch.arange(1, len(hits) + 1) - hits)
    weights = -torch.diff(index, prepend=torch.ones(1))  # Alg. 1 itself
    counted = (errors[order] > 0) & (hits < hits[-1])
    torch.testing.assert_close(gradient[order][counted], weights[counted], rtol=1e-3, atol=1e-12)


@pytest.mark.parametrize(
    ("loss", "value"),
    [
        (bce, -math.log(0.1)),
        (focal, -(0.9**2) * math.log(0.1)),
        (dice, 0.9 / (2 - 0.9)),
        (tversky, 0.7 * 0.9 / (1 - 0.3 * 0.9)),
        (lovasz, None),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.parametrize("channels", [1, 2])
def test_false_alarms_on_an_all_real_batch_cost_something(loss, value, channels):
    real = torch.zeros(2, 8, 8, dtype=torch.int64)
    probability = torch.full((2, 8, 8), 0.9)
    logits = one_logit_and_its_softmax(probability.flatten().tolist())[channels - 1]
    alarm = logits.reshape(channels, 2, 8, 8).transpose(0, 1).clone().requires_grad_()
    value = value or (1 + math.log(9) if channels == 1 else 0.9)
    assert loss(alarm, real).item() == pytest.approx(value, abs=1e-5)
    gradient = gradient_of(loss, alarm, real)
    assert (gradient[:, -1] > 0).all()
    assert loss(-alarm, real) < loss(alarm, real)
    quiet = torch.full((2, channels, 8, 8), -30.0)
    if channels > 1:
        quiet[:, 0] = 30
    assert loss(quiet, real) == pytest.approx(0, abs=1e-6)


def test_what_segmentation_models_pytorch_does_on_an_all_real_batch():  # the trap
    real = torch.zeros(2, 1, 8, 8, dtype=torch.int64)
    alarm = torch.rand(2, 1, 8, 8, requires_grad=True)
    assert DiceLoss("binary")(alarm, real) == 0
    assert TverskyLoss("binary")(alarm, real) == 0
    assert LovaszLoss("binary")(alarm, real) == 1 + alarm.max()


def test_false_alarms_on_a_real_frame_cost_beside_forged_frames():
    mask = torch.zeros(2, 4, 4, dtype=torch.int64)
    mask[0] = 1
    quiet, alarm = torch.full((2, 1, 4, 4), 30.0), torch.full((2, 1, 4, 4), 30.0)
    quiet[1] = -30
    for loss in LOSSES:
        assert loss(quiet, mask) == pytest.approx(0, abs=1e-6)
    assert dice(alarm, mask) == pytest.approx(1 / 3, abs=1e-6)  # 1 - 2 * 16 / (32 + 16)
    assert tversky(alarm, mask) == pytest.approx(0.3 / 1.3, abs=1e-6)
    assert lovasz(alarm, mask) == pytest.approx(31 / 2, abs=1e-4)  # hinge 31 on half of the union
    for loss in LOSSES:
        assert (gradient_of(loss, alarm.clone().requires_grad_() / 10, mask)[1] > 0).all()


@losses
def test_what_is_given_to_an_absent_method_costs_something(loss):
    mask = torch.tensor([[[0, 0, 1, 1]]])
    logits = torch.zeros(1, 4, 1, 4, requires_grad=True)  # methods 2 and 3 are absent
    gradient = gradient_of(loss, logits, mask)
    assert (gradient[:, 2:] > 0).all()
    present = torch.full((1, 4, 1, 4), -30.0)
    present[:, :2] = 30 * F.one_hot(mask, 2).movedim(-1, 1)
    assert loss(present, mask) == pytest.approx(0, abs=1e-6)


@channels
@losses
@pytest.mark.parametrize("other", [100.0, -100.0, math.inf, math.nan])
def test_logits_under_unknown_pixels_change_neither_loss_nor_gradient(loss, channels, other):
    logits, mask = batch(channels)
    changed = torch.where(mask[:, None] == UNKNOWN, other, logits.detach()).requires_grad_()
    assert torch.equal(loss(logits, mask), loss(changed, mask))
    gradient = gradient_of(loss, logits, mask)
    assert torch.equal(gradient, gradient_of(loss, changed, mask))
    unknown = (mask == UNKNOWN)[:, None].expand_as(gradient)
    assert (gradient[unknown] == 0).all()
    if loss is not lovasz:  # whose hinge lets right pixels be
        assert (gradient[~unknown] != 0).all()


@channels
@losses
def test_a_batch_of_unknown_pixels_costs_nothing(loss, channels):
    logits = torch.full((2, channels, 4, 4), math.nan, requires_grad=True)
    value = loss(logits, torch.full((2, 4, 4), UNKNOWN))
    value.backward()
    assert value.shape == ()
    assert value == 0
    assert (logits.grad == 0).all()


@channels
@losses
def test_losses_have_the_gradient_of_finite_differences(loss, channels):
    logits, mask = batch(channels)
    gradient = gradient_of(loss, logits, mask)
    step = torch.zeros_like(logits)
    step[1, 0, 2, 3] = 0.01
    slope = (loss(logits + step, mask) - loss(logits - step, mask)) / 0.02
    assert slope.item() == pytest.approx(gradient[1, 0, 2, 3].item(), rel=2e-2, abs=1e-5)


@channels
@losses
def test_losses_are_computed_in_float32(loss, channels):
    logits, mask = batch(channels)
    half = logits.detach().bfloat16().requires_grad_()
    value = loss(half, mask)
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(half.float(), mask))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(value, loss(half, mask))
    gradient = gradient_of(loss, half, mask)
    assert gradient.dtype == torch.bfloat16
    assert gradient.isfinite().all()


@channels
@losses
def test_losses_stay_finite_on_extreme_logits(loss, channels):
    _, mask = batch(channels)
    for scale in (1e4, 1e-4):
        logits = (scale * torch.randn(3, channels, 8, 8)).requires_grad_()
        assert loss(logits, mask).isfinite()
        assert gradient_of(loss, logits, mask).isfinite().all()


def test_label_smoothing_by_hand():
    one, two = one_logit_and_its_softmax([0.9, 0.2])
    mask = torch.tensor([[[1, 0]]])
    entropies = [-0.95 * math.log(0.9) - 0.05 * math.log(0.1), -0.05 * math.log(0.2) - 0.95 * math.log(0.8)]
    for logits in (one, two):
        assert bce(logits, mask, 0.1).item() == pytest.approx(sum(entropies) / 2)
        terms = [(1 - math.exp(-entropy)) ** 2 * entropy for entropy in entropies]
        assert focal(logits, mask, 0.1).item() == pytest.approx(sum(terms) / 2)


def test_label_smoothing_over_classes_is_that_of_torch():
    logits, mask = batch(4)
    expected = F.cross_entropy(logits, mask, ignore_index=UNKNOWN, label_smoothing=0.2)
    torch.testing.assert_close(bce(logits, mask, 0.2), expected)


@channels
@pixelwise
def test_a_smoothed_loss_is_least_at_the_smoothed_target(loss, channels):
    mask = torch.zeros(1, 1, 1, dtype=torch.int64)
    target = torch.tensor([0.1]) if channels == 1 else torch.tensor([0.85, 0.05, 0.05, 0.05])
    logits = (target.logit() if channels == 1 else target.log()).reshape(1, channels, 1, 1).requires_grad_()
    assert gradient_of(loss, logits, mask, label_smoothing=0.2).abs().max() < 1e-6


def test_class_weights_are_those_of_torch():
    logits, mask = batch(4)
    weights = [1.0, 2.0, 3.0, 0.5]
    expected = F.cross_entropy(logits, mask, torch.tensor(weights), ignore_index=UNKNOWN)
    torch.testing.assert_close(bce(logits, mask, class_weights=weights), expected)


def test_class_weights_of_one_logit_by_hand():
    logits, _ = one_logit_and_its_softmax([0.9, 0.2, 0.4])
    mask = torch.tensor([[[1, 0, 1]]])
    expected = -(3 * math.log(0.9) + math.log(0.8) + 3 * math.log(0.4)) / 7
    assert bce(logits, mask, class_weights=(1, 3)).item() == pytest.approx(expected)
    terms = 0.75 * 0.2**2 * math.log(0.8) + 0.25 * (0.1**2 * math.log(0.9) + 0.6**2 * math.log(0.4))
    assert focal(logits, mask, class_weights=(0.75, 0.25)).item() == pytest.approx(-terms / 1.25)


@pytest.mark.parametrize("theirs", [DiceLoss, TverskyLoss])
def test_class_weights_of_overlaps_are_those_of_segmentation_models_pytorch(theirs):
    logits, mask = batch(4, unknown=False)
    weights = [1.0, 2.0, 3.0, 0.5]
    options = {"alpha": 0.3, "beta": 0.7} if theirs is TverskyLoss else {}
    ours = tversky if theirs is TverskyLoss else dice
    expected = theirs("multiclass", class_weights=weights, **options)(logits, mask)
    torch.testing.assert_close(ours(logits, mask, weights), expected)


@overlaps
def test_class_weights_weigh_the_terms_of_the_classes_present(loss):
    logits, _ = batch(3)
    logits = logits[:1]
    mask = torch.zeros(1, 8, 8, dtype=torch.int64)
    real_only = loss(logits, mask, (1, 5, 7))
    torch.testing.assert_close(real_only, loss(logits, mask))
    mask[0, :3] = 2
    mixed = [loss(logits, mask, weights) for weights in [(1, 1, 1), (1, 1, 3), (10, 1, 30)]]
    even, odd = mixed[:2]  # (real + forged) / 2, (real + 3 forged) / 4
    forged = 2 * odd - even
    torch.testing.assert_close(mixed[1], mixed[2])
    torch.testing.assert_close(loss(logits, mask, (1e-6, 1, 1)), forged, rtol=1e-4, atol=1e-4)


@overlaps
def test_class_weights_change_no_overlap_of_one_logit(loss):
    logits, mask = batch()
    assert torch.equal(loss(logits, mask, (1, 5)), loss(logits, mask))


@channels
@losses
def test_equal_class_weights_change_nothing(loss, channels):
    logits, mask = batch(channels)
    weights = [0.01] * max(channels, 2)
    torch.testing.assert_close(loss(logits, mask, class_weights=weights), loss(logits, mask))


@losses
def test_class_weights_of_other_length_are_refused(loss):
    with pytest.raises(ValueError, match=r"are \[1, 2, 3\], 3 for 2 classes: wanted that of real and that of forged"):
        loss(*batch(1), class_weights=(1, 2, 3))
    with pytest.raises(ValueError, match=r"2 for 4 classes: wanted that of real and 3 of methods"):
        loss(*batch(4), class_weights=[1, 2])


@channels
@losses
def test_each_loss_learns_a_mask(loss, channels):
    torch.manual_seed(0)
    mask = torch.zeros(2, 16, 16, dtype=torch.int64)
    mask[0, 4:12, 4:12] = 1
    if channels > 1:
        mask[0, 8:12, 4:12] = 2
    mask[:, 0] = UNKNOWN
    logits = torch.zeros(2, channels, 16, 16, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        loss(logits, mask).backward()
        optimizer.step()
    called = (logits > 0).long().squeeze(1) if channels == 1 else logits.argmax(1)
    assert torch.equal(called[mask != UNKNOWN], mask[mask != UNKNOWN])


def test_frame_loss_by_hand():
    loss = frame_loss(logit([0.9, 0.2]), torch.tensor([1, 0]))
    assert loss.item() == pytest.approx(-(math.log(0.9) + math.log(0.8)) / 2)
