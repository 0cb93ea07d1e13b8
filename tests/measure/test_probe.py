"""Probes: whole-data gradients against float64 brute force, and nothing of the training touched."""

from __future__ import annotations

import copy
import random
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import gradlens
from gradlens import ClassGroups
from gradlens.batch.rows import LabelsError
from tests.engines.zoo import CLASSES
from tests.lens.oracle import apart, gradient, gram, layer_grams, same
from tests.lens.training import batches, mlp, state

GROUPS = ClassGroups({"head": [0, 1], "middle": [4], "tail": [2]}, CLASSES)  # classes 3 and 5 are rest
ROWS = 40


pytestmark = pytest.mark.usefixtures("one_thread")


def network() -> nn.Module:
    """BatchNorm with statistics, dropout, in train mode but for one frozen part that is in eval mode."""
    torch.manual_seed(0)
    model = nn.Sequential(
        OrderedDict(
            body=nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Dropout(0.5)),
            middle=nn.Sequential(nn.Flatten(), nn.Linear(16, 8)),
            head=nn.Linear(8, CLASSES),
        )
    )
    for _ in range(5):
        model(torch.randn(16, 2, 4, 4) * 2 + 1)
    model.middle.eval()
    model.middle[1].bias.requires_grad_(False)
    return model


def data(absent: int | None = None) -> TensorDataset:
    generator = torch.Generator().manual_seed(3)
    y = torch.randint(CLASSES, (ROWS,), generator=generator)
    if absent is not None:
        y[y == absent] = 0
    return TensorDataset(torch.randn(ROWS, 2, 4, 4, generator=generator), y)


def truth(model: nn.Module, x: Tensor, y: Tensor, groups: ClassGroups) -> list[list[Tensor | None]]:
    tracked = {c for ids in groups.classes for c in ids}
    parts = [*groups.classes, [c for c in range(CLASSES) if c not in tracked]]
    model = copy.deepcopy(model).eval()

    def part(classes: Any) -> Any:
        mask = torch.isin(y, torch.tensor(list(classes)))
        return lambda twin: (F.cross_entropy(twin(x.double()), y, reduction="none") * mask).sum() / len(y)

    return [gradient(model, part(classes)) for classes in parts]


@pytest.mark.parametrize("batch", [256, 5])
@pytest.mark.parametrize("waiting", [2**28, 300])
def test_agrees_with_brute_force(batch: int, waiting: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradlens.measure.probe.BATCH", batch)
    monkeypatch.setattr("gradlens.measure.probe.WAITING_BYTES", waiting)
    model = network()
    x, y = data().tensors
    m = gradlens.probe(model, DataLoader(data(), 7, shuffle=True), GROUPS, step=12, epoch=3)
    vectors = truth(model, x, y, GROUPS)
    assert m.names == ("head", "middle", "tail", "rest")
    assert (m.step, m.epoch) == (12, 3)
    assert apart(m.gram, gram(vectors)) <= 1e-4
    assert m.layers is not None
    assert apart(m.layers.astype(np.float64), layer_grams(model, vectors)[1]) <= 1e-4
    logits = copy.deepcopy(model).eval()(x).detach()
    rows, hit = F.cross_entropy(logits, y, reduction="none"), logits.argmax(1) == y
    for k, ids in enumerate(GROUPS.classes):
        own = torch.isin(y, torch.tensor(ids))
        assert m.counts[k] == own.sum()
        assert m.loss[k] == pytest.approx(rows[own].sum().item(), rel=1e-5)
        assert m.correct[k] == hit[own].sum()
    assert m.total_loss == pytest.approx(rows.mean().item(), rel=1e-5)


def test_no_pass_takes_more_rows_than_a_batch_that_was_given() -> None:
    model, rows = network(), []
    handle = model.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    gradlens.probe(model, DataLoader(data(), 7, shuffle=True), GROUPS)
    handle.remove()
    assert max(rows) == 7
    assert sum(rows) == len(data())
    assert len(rows) <= len(data()) // 7 + len(GROUPS) + 1


def test_every_class_by_itself() -> None:
    model = network()
    x, y = data(absent=2).tensors
    groups = ClassGroups.per_class(CLASSES)
    m = gradlens.probe(model, DataLoader(data(absent=2), 16), groups)
    expected = gram(truth(model, x, y, groups))
    expected[2, :] = expected[:, 2] = np.nan  # a class without samples is absent, not zero
    assert apart(m.gram, expected) <= 1e-4
    assert m.counts[2] == 0
    assert m.share("0") == pytest.approx(expected[0, [0, 1, 3, 4, 5]].sum() / np.nansum(expected), rel=1e-4)


def test_nothing_of_the_training_is_touched() -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    x, y = data().tensors
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002

    class Noisy(TensorDataset):
        """Draws from every global generator, as augmentations do."""

        def __getitem__(self, index: int) -> Any:
            image, label = super().__getitem__(index)
            return image + torch.rand(1) + random.random() + np.random.rand(), label  # noqa: NPY002

    before = copy.deepcopy(state(model, optimizer))
    gradlens.probe(model, DataLoader(Noisy(x, y), 8, shuffle=True), GROUPS)
    assert same(before, state(model, optimizer))

    def bad() -> Any:
        yield from DataLoader(data(), 8, shuffle=True)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        gradlens.probe(model, bad(), GROUPS)
    assert same(before, state(model, optimizer))


class Words(nn.Module):
    """Takes a dict, and adds two parameters of one shape: autograd gives both the same tensor as gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.net = mlp()
        self.shift, self.offset = nn.Parameter(torch.randn(5)), nn.Parameter(torch.randn(5))

    def forward(self, batch: dict[str, Any]) -> Tensor:
        return self.net(batch["x"] * batch["more"][0] + (self.shift + self.offset))


def test_dict_inputs_and_parameters_that_share_a_gradient() -> None:
    torch.manual_seed(0)
    model = Words()
    parts = batches(4)
    inputs = [({"x": x, "more": [x.cos()]}, y) for x, y in parts]
    x, y = torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])

    def part(classes: Any) -> Any:
        mask = torch.isin(y, torch.tensor(list(classes)))
        wide = {"x": x.double(), "more": [x.cos().double()]}
        return lambda twin: (F.cross_entropy(twin(wide), y, reduction="none") * mask).sum() / len(y)

    vectors = [gradient(model, part(ids)) for ids in (*GROUPS.classes, (3, 5))]
    # One row in each batch of a group, so that gradients are summed over several passes.
    m = gradlens.probe(model, [i for batch in inputs for i in _one_by_one(batch)], GROUPS)
    assert apart(m.gram, gram(vectors)) <= 1e-4


def _one_by_one(batch: Any) -> Any:
    inputs, labels = batch
    for i in range(len(labels)):
        yield {"x": inputs["x"][i : i + 1], "more": [inputs["more"][0][i : i + 1]]}, labels[i : i + 1]


def test_gradients_of_several_passes_do_not_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradlens.measure.probe.BATCH", 3)
    test_dict_inputs_and_parameters_that_share_a_gradient()


def bad_batches() -> dict[str, tuple[Any, str]]:
    x, y = torch.randn(4, 5), torch.tensor([0, 1, 2, 3])
    return {
        "nothing": ([], "got no data.*an iterator can be read only once"),
        "no pairs": ([x], r"batches of \(inputs, labels\), got a Tensor"),
        "triples": ([(x, y, y)], r"got a tuple of 3"),
        "class id": ([(x, y + 3)], "labels from 3 to 6 leave the 6 classes"),
        "negative": ([(x, y - 1)], "labels from -1 to 2"),
        "soft": ([(x, torch.rand(4, 6))], r"labels a tensor of class ids \[B\], got torch.float32 \[4, 6\]"),
        "list": ([(x, [0, 1, 2, 3])], "got list"),
        "fewer labels": ([(x, y[:2])], r"inputs that hold a tensor \[4, 5\] for 2 labels"),
        "fewer rows": ([({"a": x, "b": x[:2]}, y)], r"inputs that hold a tensor \[2, 5\] for 4 labels"),
        "array": ([(x.numpy(), y)], "inputs that hold a ndarray for 4 labels; give tensors"),
    }


@pytest.mark.parametrize("kind", bad_batches())
def test_bad_data_is_a_clear_error(kind: str) -> None:
    given, message = bad_batches()[kind]
    model = mlp()
    with pytest.raises(LabelsError, match=message):
        gradlens.probe(model, given, GROUPS)
    assert model.training


def test_models_that_cannot_be_probed() -> None:
    x, y = torch.randn(4, 5), torch.tensor([0, 1, 2, 3])
    with pytest.raises(LabelsError, match=r"logits of shape \[2, 6\], but the model returned \[2, 7\]"):
        gradlens.probe(nn.Linear(5, 7), [(x, y)], GROUPS)
    with pytest.raises(ValueError, match="unfreeze some before the probe"):
        gradlens.probe(mlp().requires_grad_(False), [(x, y)], GROUPS)
    mixing = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6, track_running_stats=False))
    with pytest.raises(ValueError, match=r"1 \(BatchNorm1d\) has no running statistics"):
        gradlens.probe(mixing, [(x, y)], GROUPS)
