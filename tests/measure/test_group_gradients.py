"""group_gradients: every group's gradient once, found in the loss's own graph."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gradlens
from gradlens import ClassGroups
from gradlens.batch.rows import LabelsError
from tests.engines.oracle import brute_force, error
from tests.engines.zoo import CLASSES, GROUPS, ZOO
from tests.lens.oracle import gradient
from tests.lens.training import batches, mlp

CASES = (
    "mlp",
    "mlp-soft-labels",
    "cnn-batchnorm",
    "segmentation",
    "tied-language-model",
    "lstm",
    "vit-qkv",
    "partly-frozen",
)


pytestmark = pytest.mark.usefixtures("one_thread")


def vector(found: dict[str, Tensor], model: nn.Module) -> list[Tensor | None]:
    assert list(found) == [name for name, p in model.named_parameters() if p.requires_grad]
    return list(found.values())


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_brute_force_and_adds_up(name: str, named: bool) -> None:
    case = ZOO[name]
    model, inputs, labels = case.build()
    torch.manual_seed(7)
    output = model(*inputs)
    loss = case.loss(output, labels).mean()
    found = gradlens.group_gradients(model, loss, labels, GROUPS, outputs=output if named else None)
    assert list(found) == list(GROUPS.names)
    for group, truth in zip(GROUPS.names, brute_force(name), strict=True):
        assert error(vector(found[group], model), truth) <= 1e-4
    assert all(p.grad is None for p in model.parameters())
    loss.backward()  # the graph is still there
    for parameter, p in model.named_parameters():
        if p.requires_grad:
            total = sum(gradients[parameter] for gradients in found.values())
            torch.testing.assert_close(total, p.grad, rtol=1e-4, atol=1e-6)


def test_what_passes_around_the_groups_is_rest() -> None:
    model = mlp()
    (x, y), *_ = batches(1)
    y[0] = -100
    groups = ClassGroups({"a": [0], "b": [1, 2], "none": [5]}, CLASSES)
    x, y = x[y != 5], y[y != 5]

    def penalty(twin: nn.Module) -> Tensor:
        return 0.1 * twin[0].weight.square().sum()

    def outside(twin: nn.Module) -> Tensor:
        rows = F.cross_entropy(twin(x.double()), y, reduction="none")
        return (rows * ((y == 3) | (y == 4))).sum() / (y >= 0).sum() + penalty(twin)

    loss = F.cross_entropy(model(x), y) + penalty(model)
    found = gradlens.group_gradients(model, loss, y, groups)
    assert list(found) == ["a", "b", "rest"]  # no sample of class 5
    assert error(vector(found["rest"], model), tuple(gradient(model, outside))) <= 1e-4
    loss.backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(sum(g[name] for g in found.values()), p.grad, rtol=1e-4, atol=1e-6)


def first_penalty(model: nn.ModuleDict, x: Tensor, y: Tensor) -> Tensor:
    # The weight has as many rows as the batch, and its square is nearer the loss than the logits.
    return model["body"].weight.square().sum() + F.cross_entropy(model["a"](model["body"](x).tanh()), y) / 2 / 3


def two_heads(model: nn.ModuleDict, x: Tensor, y: Tensor) -> Tensor:
    features = model["body"](x).tanh()
    return F.cross_entropy(model["a"](features), y) + 0.4 * F.cross_entropy(
        model["b"](features), y, label_smoothing=0.1
    )


def head_upon_head(model: nn.ModuleDict, x: Tensor, y: Tensor) -> Tensor:
    logits = model["a"](model["body"](x).tanh())
    refined = model["c"](logits)
    return F.cross_entropy(logits, y) + (0.4 * (F.cross_entropy(refined, y) * 2)) / 2


@pytest.mark.parametrize("formula", [first_penalty, two_heads, head_upon_head])
def test_every_term_of_a_loss_is_attributed_by_its_rows(formula: Any) -> None:
    torch.manual_seed(3)
    sizes = {"body": (5, 12), "a": (12, CLASSES), "b": (12, CLASSES), "c": (CLASSES, CLASSES)}
    model = nn.ModuleDict({name: nn.Linear(*size) for name, size in sizes.items()})
    (x, y), *_ = batches(1)
    loss = formula(model, x, y)
    found = gradlens.group_gradients(model, loss, y, GROUPS)
    assert ("rest" in found) == (formula is first_penalty)
    for name, ids in zip(GROUPS.names, GROUPS.classes, strict=True):

        def restricted(twin: nn.Module, ids: tuple[int, ...] = ids) -> Tensor:
            mine = torch.isin(y, torch.tensor(ids))
            penalty = twin["body"].weight.square().sum() if formula is first_penalty else 0.0  # type: ignore[index]
            # Nothing mixes the samples here: the mean over a part is the part's own loss, times its share of the rows.
            return (formula(twin, x[mine].double(), y[mine]) - penalty) * mine.sum() / len(y)

        assert error(vector(found[name], model), tuple(gradient(model, restricted))) <= 1e-4
    loss.backward()
    for name, p in model.named_parameters():
        total = sum(g[name] for g in found.values())
        torch.testing.assert_close(total, torch.zeros_like(p) if p.grad is None else p.grad, rtol=1e-4, atol=1e-6)


def test_parameters_that_the_loss_does_not_reach_are_zero() -> None:
    model = nn.ModuleDict({"used": mlp(), "unused": nn.Linear(2, 2)})
    (x, y), *_ = batches(1)
    found = gradlens.group_gradients(model, F.cross_entropy(model["used"](x), y), y, GROUPS)
    assert torch.equal(found["head"]["unused.weight"], torch.zeros(2, 2))
    assert "rest" not in found


class Stacked(nn.Module):
    """Rows of an embedding with sparse gradients, and a parameter without entries below them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(9, 5, sparse=True), nn.Linear(5, CLASSES)
        self.none = nn.Parameter(torch.zeros(0, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.head(self.embed(x)), self.none])


def test_sparse_gradients_and_parameters_without_entries() -> None:
    torch.manual_seed(0)
    model = Stacked()
    x, y = torch.randint(0, 9, (12,)), torch.randperm(12) % CLASSES
    loss = F.cross_entropy(model(x), y)
    found = gradlens.group_gradients(model, loss, y, GROUPS)
    assert tuple(found) == GROUPS.names
    loss.backward()
    for name, p in model.named_parameters():
        total = sum(part[name].to_dense() for part in found.values())
        torch.testing.assert_close(total, p.grad.to_dense(), rtol=1e-4, atol=1e-6)


def test_nothing_to_differentiate_is_said() -> None:
    model = mlp()
    (x, y), *_ = batches(1)
    loss = F.cross_entropy(model(x), y)
    with pytest.raises(LabelsError, match="the loss has no graph: it was detached"):
        gradlens.group_gradients(model, loss.detach(), y, GROUPS)
    with pytest.raises(LabelsError, match="labels are list; give a tensor"):
        gradlens.group_gradients(model, loss, y.tolist(), GROUPS)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no parameter that wants a gradient; unfreeze"):
        gradlens.group_gradients(model.requires_grad_(False), loss, y, GROUPS)


def test_where_no_tensor_fits_it_says_what_to_do() -> None:
    model = mlp()
    (x, y), (x2, _) = batches(2)
    loss = F.cross_entropy(model(x), y)
    with pytest.raises(
        LabelsError, match=r"no tensor of the loss's graph has the rows of labels of shape \[9\].*outputs="
    ):
        gradlens.group_gradients(model, loss, y[:9], GROUPS)
    with pytest.raises(LabelsError, match="does not depend on the given outputs"):
        gradlens.group_gradients(model, loss, y, GROUPS, outputs=model(x2))
    with pytest.raises(LabelsError, match="label 6 is no class id"):
        gradlens.group_gradients(model, loss, y + 1, GROUPS)
