"""What belongs to which vector: rest, untracked and ignored labels, components, soft labels, several outputs, tokens."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens import ClassGroups, Lens
from tests.engines.zoo import CLASSES, GROUPS, ZOO, class_ids
from tests.lens.oracle import apart, gradient, gram

pytestmark = pytest.mark.usefixtures("one_thread")


ENGINES = ("masked", "split", "func")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, CLASSES))


def batch(rows: int = 12) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(rows, 5), torch.randperm(rows) % CLASSES


def restricted(x: Tensor, y: Tensor, classes: Any) -> Any:
    """The mean loss with only the rows of some classes."""

    def scalar(model: nn.Module) -> Tensor:
        rows = F.cross_entropy(model(x.double()), y, reduction="none")
        return (rows * torch.isin(y, torch.tensor(list(classes)))).sum() / len(y)

    return scalar


@pytest.mark.parametrize("engine", ENGINES)
def test_a_weight_penalty_is_rest(engine: str) -> None:
    model = network()
    x, y = batch()

    def penalty(network: nn.Module) -> Tensor:
        return 0.05 * sum((p**2).sum() for p in network.parameters())

    vectors = [*(gradient(model, restricted(x, y, ids)) for ids in GROUPS.classes), gradient(model, penalty)]
    with Lens(model, GROUPS, every=1, engine=engine, strict=True) as lens:
        for _ in range(2):
            lens.backward(F.cross_entropy(model(x), y) + penalty(model), y)
            model.zero_grad()
            assert lens.last is not None
            assert apart(lens.last.gram, gram(vectors)) <= 1e-4
            assert lens.last.residual <= 1e-5
    assert lens.engine_name == engine
    assert lens.last.share("rest") == pytest.approx(
        gram(vectors)[-1].sum() / gram(vectors).sum(),
        rel=1e-4,
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_untracked_classes_and_ignored_labels(engine: str) -> None:
    model = network()
    x, y = batch()
    y[:3] = -100
    groups = ClassGroups({"a": [0, 1], "b": [4]}, CLASSES)

    def part(classes: list[int]) -> Any:
        def scalar(twin: nn.Module) -> Tensor:
            rows = F.cross_entropy(twin(x.double()), y, reduction="none")
            return (rows * torch.isin(y, torch.tensor(classes))).sum() / (y >= 0).sum()

        return scalar

    vectors = [gradient(model, part(classes)) for classes in ([0, 1], [4], [2, 3, 5])]
    with Lens(model, groups, every=1, engine=engine, strict=True) as lens:
        for _ in range(2):
            lens.backward(F.cross_entropy(model(x), y), y)
            model.zero_grad()
    m = lens.last
    assert m is not None
    assert lens.engine_name == engine
    assert apart(m.gram, gram(vectors)) <= 1e-4
    assert m.residual <= 1e-5
    known = [int((y == c).sum()) for c in range(CLASSES)]
    assert m.counts.tolist() == [known[0] + known[1], known[4]]
    rows = F.cross_entropy(model(x), y, reduction="none")
    hit = model(x).argmax(1) == y
    for k, classes in enumerate(groups.classes):
        own = torch.isin(y, torch.tensor(classes))
        assert m.loss[k] == pytest.approx(rows[own].sum().item(), rel=1e-5)
        assert m.correct[k] == int(hit[own].sum())
    assert m.total_loss == pytest.approx(F.cross_entropy(model(x), y).item(), rel=1e-6)


def test_another_ignore_index_may_be_a_class_id() -> None:
    model = network()
    x, y = batch()
    with Lens(model, GROUPS, every=1, strict=True) as lens:
        lens.backward(F.cross_entropy(model(x), y, ignore_index=5), y, ignore_index=5)
    m = lens.last
    assert m is not None
    assert m.counts.tolist() == [6, 4, 0]
    assert np.isnan(m.gram[2]).all()  # the tail is class 5: absent, not zero
    assert m.gram[3, 3] <= 1e-20
    assert m.residual <= 1e-5


def test_absent_groups_are_missing_and_a_batch_of_one_group_is_fine() -> None:
    model = network()
    x, _ = batch()
    y = torch.full((12,), 4)
    truth = gradient(model, restricted(x, y, [4]))
    with Lens(model, GROUPS, every=1, strict=True) as lens:
        lens.backward(F.cross_entropy(model(x), y), y)
    m = lens.last
    assert m is not None
    assert np.isnan(m.gram[[0, 2]]).all()
    assert m.gram[1, 1] == pytest.approx(gram([truth])[0, 0], rel=1e-4)
    assert m.share("medium") == pytest.approx(1, abs=1e-5)
    assert m.cosine("medium") == pytest.approx(1, abs=1e-6)
    assert np.isnan([m.cosine("head"), m.share("tail"), m.norm("head"), m.conflict("head", "tail")]).all()
    assert m.residual <= 1e-5


@pytest.mark.parametrize("engine", ["masked", "func"])
def test_components_are_told_apart(engine: str) -> None:
    model = network()
    x, y = batch()

    def terms(twin: nn.Module, x: Tensor) -> dict[str, Tensor]:
        z = twin(x)
        return {"ce": F.cross_entropy(z, y, reduction="none"), "size": 0.1 * z.square().sum(1)}

    def part(name: str, classes: Any) -> Any:
        mask = torch.isin(y, torch.tensor(list(classes)))
        return lambda twin: (terms(twin, x.double())[name] * mask).sum() / len(y)

    vectors = [gradient(model, part(name, ids)) for name in ("ce", "size") for ids in GROUPS.classes]
    vectors.append([None] * 4)
    with Lens(model, GROUPS, every=1, engine=engine, strict=True) as lens:
        for _ in range(2):
            lens.backward({name: rows.mean() for name, rows in terms(model, x).items()}, y)
            total = [p.grad.clone() for p in model.parameters()]
            model.zero_grad()
    sum(rows.mean() for rows in terms(model, x).values()).backward()
    assert all(torch.allclose(a, p.grad, atol=1e-7) for a, p in zip(total, model.parameters(), strict=True))
    m = lens.last
    assert m is not None
    assert m.names == ("ce/head", "ce/medium", "ce/tail", "size/head", "size/medium", "size/tail", "rest")
    assert apart(m.gram, gram(vectors)) <= 1e-4
    assert m.residual <= 1e-5
    head = [a + b for a, b in zip(vectors[0], vectors[3], strict=True)]
    assert m.norm("head") == pytest.approx(gram([head])[0, 0] ** 0.5, rel=1e-4)


def test_soft_labels_count_by_mass_and_add_up_whatever_their_mass() -> None:
    model = network()
    x, _ = batch()
    y = torch.softmax(2 * torch.randn(12, CLASSES), 1) * torch.linspace(0.2, 3, 12)[:, None]
    y[0] = 0

    def part(classes: list[int]) -> Any:
        fraction = y[:, classes].sum(1) / y.sum(1).clamp(min=1e-30)
        return lambda twin: (F.cross_entropy(twin(x.double()), y.double(), reduction="none") * fraction).sum() / 12

    vectors = [*(gradient(model, part(list(ids))) for ids in GROUPS.classes), [None] * 4]
    with Lens(model, GROUPS, every=1, strict=True) as lens:
        lens.backward(F.cross_entropy(model(x), y), y)
    m = lens.last
    assert m is not None
    assert apart(m.gram, gram(vectors)) <= 1e-4
    assert m.residual <= 1e-5
    np.testing.assert_allclose(m.counts, [y[:, list(ids)].sum() for ids in GROUPS.classes], rtol=1e-6)
    log_p = F.log_softmax(model(x), 1).detach()
    np.testing.assert_allclose(m.loss, [float(-(y * log_p)[:, list(ids)].sum()) for ids in GROUPS.classes], rtol=1e-5)


class TwoHeads(nn.Module):
    """Logits, features from which they are computed, and an auxiliary head, in nested containers."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.aux = nn.Linear(5, 7), nn.Linear(7, CLASSES), nn.Linear(7, CLASSES)

    def forward(self, x: Tensor) -> dict[str, Any]:
        h = self.body(x).tanh()
        return {"logits": self.head(h), "more": (h, [self.aux(h)]), "count": torch.tensor(3)}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_loss_on_several_outputs(engine: str) -> None:
    torch.manual_seed(0)
    model = TwoHeads()
    x, y = batch()

    def rows(twin: nn.Module, x: Tensor) -> Tensor:
        out = twin(x)
        h, (aux,) = out["more"]
        return (
            F.cross_entropy(out["logits"], y, reduction="none")
            + 0.3 * F.cross_entropy(aux, y, reduction="none")
            + 0.01 * h.square().sum(1)
        )

    def part(classes: Any) -> Any:
        mask = torch.isin(y, torch.tensor(list(classes)))
        return lambda twin: (rows(twin, x.double()) * mask).sum() / len(y)

    vectors = [*(gradient(model, part(ids)) for ids in GROUPS.classes), [None] * 6]
    with Lens(model, GROUPS, every=1, engine=engine, strict=True) as lens:
        for _ in range(2):
            lens.backward(rows(model, x).mean(), y)
            model.zero_grad()
            assert lens.last is not None
            assert apart(lens.last.gram, gram(vectors)) <= 1e-4
            assert lens.last.residual <= 1e-5
    assert lens.engine_name == engine


@pytest.mark.parametrize("layout", ["classes last", "classes second"])
def test_language_model_labels(layout: str) -> None:
    case = ZOO["tied-language-model"]
    model, inputs, labels = case.build()
    model.eval()
    labels[0, :2] = -100

    def part(classes: Any) -> Any:
        def scalar(twin: nn.Module) -> Tensor:
            rows = F.cross_entropy(twin(*inputs).transpose(1, 2), labels, reduction="none")
            return (rows * torch.isin(labels, torch.tensor(list(classes)))).sum() / (labels >= 0).sum()

        return scalar

    vectors = [gradient(model, part(ids)) for ids in GROUPS.classes]
    vectors.append([None] * len(vectors[0]))
    with Lens(model, GROUPS, every=1, strict=True) as lens:
        logits = model(*inputs).transpose(1, 2)  # [B, C, T]
        named = None if layout == "classes last" else logits
        lens.backward(F.cross_entropy(logits, labels), labels, outputs=named)
    assert lens.last is not None
    assert apart(lens.last.gram, gram(vectors)) <= 1e-4
    assert lens.last.counts.sum() == (labels >= 0).sum()


def test_sparse_gradients_and_a_second_forward_pass() -> None:
    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(9, 6, sparse=True), nn.Linear(6, CLASSES)

        def forward(self, ids: Tensor) -> Tensor:
            return self.head(self.embed(ids).mean(1))

    torch.manual_seed(0)
    model = Bag()
    a, b = torch.randint(9, (8, 3)), torch.randint(9, (8, 3))
    y = class_ids(8)()
    dense = copy.deepcopy(model)
    dense.embed.sparse = False

    def part(classes: Any) -> Any:
        mask = torch.isin(y, torch.tensor(list(classes)))
        views = lambda twin: sum(F.cross_entropy(twin(v), y, reduction="none") for v in (a, b))  # noqa: E731
        return lambda twin: (views(twin) * mask).sum() / 16

    vectors = [*(gradient(dense, part(ids)) for ids in GROUPS.classes), [None] * 3]
    with Lens(model, GROUPS, every=1, engine="masked", strict=True) as lens:
        lens.backward((F.cross_entropy(model(a), y) + F.cross_entropy(model(b), y)) / 2, y)
    assert lens.last is not None
    assert apart(lens.last.gram, gram(vectors)) <= 1e-4
    assert lens.last.residual <= 1e-5
