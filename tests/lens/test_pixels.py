"""Segmentation: groups of the classes of pixels, with void pixels, for losses of single pixels and for Dice, which mixes pixels.

A loss that mixes pixels has no part of one class. What is measured is the gradient with respect to the logits, of which each
pixel belongs to its class, pulled back to the weights. The oracle does that in float64.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens import ClassGroups, Lens
from tests.lens.oracle import apart, gradient, gram

pytestmark = pytest.mark.usefixtures("one_thread")
VOID, CLASSES = 255, 4
GROUPS = ClassGroups({"stuff": [0, 1], "things": [2, 3]}, CLASSES)


def pixel_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, CLASSES, 1))


def pictures(seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, CLASSES, (2, 5, 4), generator=generator)
    y[0, :2] = y[1, 4, 1:] = VOID
    return torch.randn(2, 3, 5, 4, generator=generator), y


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(logits, y, ignore_index=VOID)


def dice(logits: Tensor, y: Tensor) -> Tensor:
    """One minus the mean overlap of the classes, over all pixels that are not void."""
    seen = (y != VOID).unsqueeze(1)
    p = logits.softmax(1) * seen
    hot = F.one_hot(y.clamp(max=CLASSES - 1), CLASSES).movedim(-1, 1) * seen
    return 1 - (2 * (p * hot).sum((0, 2, 3)) / (p + hot).sum((0, 2, 3))).mean()


def both(logits: Tensor, y: Tensor) -> Tensor:
    return cross_entropy(logits, y) + 0.5 * dice(logits, y)


def by_pixel(classes: tuple[int, ...], x: Tensor, y: Tensor, loss: Callable[[Tensor, Tensor], Tensor]):
    def scalar(twin: nn.Module) -> Tensor:
        logits = twin(x.double())
        fixed = logits.detach().requires_grad_()
        (seed,) = torch.autograd.grad(loss(fixed, y), fixed)
        return (logits * seed * torch.isin(y, torch.tensor(classes)).unsqueeze(1)).sum()

    return scalar


@pytest.mark.parametrize("engine", ["masked", "func"])
@pytest.mark.parametrize("loss", [cross_entropy, dice, both])
def test_classes_of_pixels_are_measured_exactly(loss: Callable[[Tensor, Tensor], Tensor], engine: str) -> None:
    model, (x, y) = pixel_net(), pictures()
    expected = gram([gradient(model, by_pixel(classes, x, y, loss)) for classes in GROUPS.classes])
    with Lens(model, GROUPS, every=1, engine=engine, strict=True) as lens:
        logits = model(x)
        lens.backward(loss(logits, y), y, ignore_index=VOID)
        m = lens.last
        assert m is not None
        assert apart(m.gram[:2, :2], expected, 1e-12 * expected.max()) <= 1e-4
        assert m.residual <= 1e-5
        assert m.norm("rest") <= 1e-6 * m.norm()  # void pixels have no gradient
        counts = torch.bincount(y.flatten(), minlength=VOID)[:CLASSES].view(2, 2).sum(1)
        assert m.counts.tolist() == counts.tolist()
        each = F.cross_entropy(logits, y, ignore_index=VOID, reduction="none")
        for k, classes in enumerate(GROUPS.classes):
            inside = torch.isin(y, torch.tensor(classes))
            assert m.loss[k] == pytest.approx(each[inside].sum().item(), rel=1e-5)
            assert m.correct[k] == (logits.argmax(1) == y)[inside].sum()


def test_for_cross_entropy_the_rule_is_the_loss_of_only_these_pixels() -> None:
    """Restricting the loss and masking the gradient at the logits are the same where no pixel meets another in the loss."""
    model, (x, y) = pixel_net(), pictures(2)

    def of(classes: tuple[int, ...]) -> Callable[[nn.Module], Tensor]:
        def scalar(twin: nn.Module) -> Tensor:
            each = F.cross_entropy(twin(x.double()), y, ignore_index=VOID, reduction="none")
            return (each * torch.isin(y, torch.tensor(classes))).sum() / (y != VOID).sum()

        return scalar

    restricted = gram([gradient(model, of(classes)) for classes in GROUPS.classes])
    masked = gram([gradient(model, by_pixel(classes, x, y, cross_entropy)) for classes in GROUPS.classes])
    assert apart(masked, restricted) <= 1e-10


def test_a_picture_of_one_class_leaves_the_other_absent() -> None:
    model, (x, y) = pixel_net(), pictures(3)
    y = torch.where(y == VOID, VOID, y % 2)
    with Lens(model, GROUPS, every=1, strict=True) as lens:
        lens.backward(cross_entropy(model(x), y), y, ignore_index=VOID)
        assert lens.last is not None
        assert lens.last.counts.tolist() == [float((y != VOID).sum()), 0]


def test_pixels_are_grouped_by_an_attribute_of_the_picture_or_of_each_pixel() -> None:
    groups = ClassGroups.of_attribute("weather", ["sun", "rain"])
    model, (x, y) = pixel_net(), pictures(4)
    weather = torch.tensor([1, 0])

    def of(value: int) -> Callable[[nn.Module], Tensor]:
        def scalar(twin: nn.Module) -> Tensor:
            each = F.cross_entropy(twin(x.double()), y, ignore_index=VOID, reduction="none")
            return each[weather == value].sum() / (y != VOID).sum()

        return scalar

    expected = gram([gradient(model, of(value)) for value in (0, 1)])
    for members in (weather, weather.view(2, 1, 1).expand(2, 5, 4)):
        model.zero_grad()
        with Lens(model, groups, every=1, strict=True) as lens:
            lens.backward(cross_entropy(model(x), y), y, ignore_index=VOID, members=members)
            assert lens.last is not None
            assert apart(lens.last.gram[:2, :2], expected) <= 1e-4
            assert lens.last.counts.tolist() == [int((y[1] != VOID).sum()), int((y[0] != VOID).sum())]


def test_void_labels_that_the_lens_was_not_told_of_are_refused() -> None:
    model, (x, y) = pixel_net(), pictures()
    with Lens(model, GROUPS, every=1) as lens, pytest.raises(ValueError, match="label 255 is no class id"):
        lens.backward(cross_entropy(model(x), y), y)
