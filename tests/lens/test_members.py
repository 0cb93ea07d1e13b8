"""Groups of an attribute of the samples: every Gram against float64 brute force over the samples with that value."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens import ClassGroups, Lens, Run
from gradlens.batch.rows import LabelsError
from tests.lens.oracle import apart, gradient, gram
from tests.lens.training import mlp

pytestmark = pytest.mark.usefixtures("one_thread")
DOMAINS = ("photo", "sketch", "cartoon", "other")
GROUPS = ClassGroups.of_attribute("domain", DOMAINS, {"photo": ["photo"], "drawn": ["sketch", "cartoon"]})
IN_GROUP = ((0,), (1, 2), (3,))  # the last one is in no group
ENGINES = ("masked", "split", "func")


def batch(seed: int, rows: int = 10, values: Sequence[int] = (0, 1, 2, 3)) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    domain = torch.tensor(values)[torch.randint(0, len(values), (rows,), generator=generator)]
    return torch.randn(rows, 5, generator=generator), torch.randint(0, 4, (rows,), generator=generator), domain


def truth(model: nn.Module, micro: Sequence[tuple[Tensor, Tensor, Tensor]]) -> np.ndarray:
    """The Gram of the groups and ``rest``: the mean cross-entropy over only the samples with their values."""

    def of(values: tuple[int, ...]) -> Callable[[nn.Module], Tensor]:
        def scalar(twin: nn.Module) -> Tensor:
            parts = []
            for x, y, domain in micro:
                each = F.cross_entropy(twin(x.double()), y, reduction="none")
                parts.append((each * torch.isin(domain, torch.tensor(values))).sum() / len(y) / len(micro))
            return torch.stack(parts).sum()

        return scalar

    return gram([gradient(model, of(values)) for values in IN_GROUP])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("normalised", [False, True])
def test_every_engine_agrees_with_brute_force(engine: str, normalised: bool) -> None:
    if normalised:
        torch.manual_seed(0)
        model: nn.Module = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Tanh(), nn.Linear(7, 4))
    else:
        model = mlp()
    with Lens(model, GROUPS, every=1, engine=engine, strict=True) as lens:
        for seed in (3, 4):
            x, y, domain = batch(seed)
            expected = truth(copy.deepcopy(model), [(x, y, domain)])
            logits = model(x)
            lens.backward(F.cross_entropy(logits, y), y, members=domain)
            model.zero_grad()
            m = lens.last
            assert m is not None
            assert m.names == ("photo", "drawn", "rest")
            assert apart(m.gram, expected, 1e-12 * expected.max()) <= 1e-4
            assert m.residual <= 1e-5
            for k, values in enumerate(IN_GROUP[:2]):
                chosen = torch.isin(domain, torch.tensor(values))
                assert m.counts[k] == chosen.sum()
                loss = F.cross_entropy(logits, y, reduction="none")[chosen].sum()
                assert m.loss[k] == pytest.approx(loss.item(), rel=1e-5)
                assert m.correct[k] == (logits.argmax(1) == y)[chosen].sum()


def test_an_absent_value_is_missing_and_not_zero() -> None:
    model = mlp()
    with Lens(model, GROUPS, every=1, strict=True) as lens:
        x, y, domain = batch(5, values=(1, 2))
        lens.backward(F.cross_entropy(model(x), y), y, members=domain)
        assert lens.last is not None
        assert np.isnan(lens.last.cosine("photo"))
        assert lens.last.counts.tolist() == [0, 10]


def test_micro_batches_add_up() -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    micro = [batch(6), batch(7, values=(0,)), batch(8, rows=3)]
    expected = truth(model, micro)
    with Lens(model, GROUPS, optimizer=optimizer, every=1, strict=True) as lens:
        for x, y, domain in micro:
            lens.backward(F.cross_entropy(model(x), y) / 3, y, members=domain)
        optimizer.step()
        assert lens.last is not None
        assert apart(lens.last.gram, expected, 1e-12 * expected.max()) <= 1e-4
        assert lens.last.counts.sum() == sum(int((domain < 3).sum()) for _, _, domain in micro)


def test_values_are_given_by_name() -> None:
    model = mlp()
    x, y, domain = batch(9)
    found = []
    for members in (domain, [DOMAINS[value] for value in domain]):
        twin = copy.deepcopy(model)
        with Lens(twin, GROUPS, every=1, strict=True) as lens:
            lens.backward(F.cross_entropy(twin(x), y), y, members=members)
            assert lens.last is not None
            found.append(lens.last.gram)
    np.testing.assert_array_equal(*found)


def test_the_value_of_a_sample_holds_for_all_its_tokens_but_ignored_ones() -> None:
    torch.manual_seed(1)
    model = nn.Linear(5, 4)
    x, y = torch.randn(4, 3, 5), torch.randint(0, 4, (4, 3))
    y[0, 2] = y[3, 1] = -100
    domain = torch.tensor([0, 1, 2, 0])

    def of(chosen: Tensor) -> Callable[[nn.Module], Tensor]:
        def scalar(twin: nn.Module) -> Tensor:
            each = F.cross_entropy(twin(x.double()).flatten(0, 1), y.flatten(), reduction="none")
            return (each.view(4, 3) * chosen[:, None]).sum() / (y >= 0).sum()

        return scalar

    expected = gram(
        [gradient(model, of(domain == 0)), gradient(model, of(domain > 0)), gradient(model, of(domain < 0))]
    )
    with Lens(model, GROUPS, every=1, strict=True) as lens:
        logits = model(x)
        lens.backward(F.cross_entropy(logits.flatten(0, 1), y.flatten()), y, members=domain)
        assert lens.last is not None
        assert apart(lens.last.gram[:2, :2], expected[:2, :2]) <= 1e-4
        assert lens.last.counts.tolist() == [4, 6]
        correct = (logits.argmax(-1) == y).sum(1)
        assert lens.last.correct.tolist() == [int(correct[[0, 3]].sum()), int(correct[1:3].sum())]


def test_a_regression_has_groups_too_and_no_accuracy() -> None:
    torch.manual_seed(2)
    model = nn.Linear(5, 1)
    x, _, domain = batch(10, values=(0, 1))
    target = torch.randn(10, 1)

    def of(value: int) -> Callable[[nn.Module], Tensor]:
        return lambda twin: ((twin(x.double()) - target.double()).square() * (domain == value)[:, None]).sum() / 10

    expected = gram([gradient(model, of(0)), gradient(model, of(1))])
    with Lens(model, GROUPS, every=1, strict=True) as lens:
        lens.backward(F.mse_loss(model(x), target), target, members=domain)
        assert lens.last is not None
        assert apart(lens.last.gram[:2, :2], expected) <= 1e-4
        assert np.isnan(lens.last.correct).all()


def test_a_loss_that_mixes_samples_is_pulled_back_by_the_rows_of_each_group() -> None:
    model = mlp()
    x, y, domain = batch(11, values=(0, 1))

    def loss(outputs: Tensor) -> Tensor:  # each sample is compared with all others
        close = F.normalize(outputs) @ F.normalize(outputs).T
        return (close * (y[:, None] != y[None])).mean()

    def of(value: int) -> Callable[[nn.Module], Tensor]:
        def scalar(twin: nn.Module) -> Tensor:
            outputs = twin(x.double())
            fixed = outputs.detach().requires_grad_()
            (seed,) = torch.autograd.grad(loss(fixed), fixed)
            return (outputs * seed * (domain == value)[:, None]).sum()

        return scalar

    expected = gram([gradient(model, of(0)), gradient(model, of(1))])
    with Lens(model, GROUPS, every=1, strict=True) as lens:
        lens.backward(loss(model(x)), y, members=domain)
        assert lens.last is not None
        assert apart(lens.last.gram[:2, :2], expected) <= 1e-4
        assert np.isnan(lens.last.correct).all()  # nothing says that the outputs are logits of the labels


def test_the_run_says_what_the_groups_are_made_of(tmp_path) -> None:
    model = mlp()
    x, y, domain = batch(12)
    with Lens(model, GROUPS, out=tmp_path / "run", every=1) as lens:
        lens.backward(F.cross_entropy(model(x), y), y, members=domain)
    run = Run(tmp_path / "run")
    assert run.groups == GROUPS
    assert run.meta.groups["members"] == "domain"


X, Y, DOMAIN = batch(13)


@pytest.mark.parametrize(
    ("members", "says"),
    [
        (None, "the groups are made of values of domain, not of classes, .* members=domain"),
        (DOMAIN[:9], r"members of shape \[9\] do not fit 10 samples"),
        (DOMAIN[:, None].expand(10, 2), r"members of shape \[10, 2\] do not fit labels of shape \[10\]"),
        (DOMAIN.float(), "members have dtype torch.float32; the values of domain must be integers"),
        (DOMAIN + 2, "members hold 4, which is no value of domain: the groups are over 4 values, ids 0 to 3"),
        (DOMAIN - 1, "members hold -1, which is no value of domain"),
        (["photo"] * 9 + ["poto"], "members hold 'poto', which is no value of domain: its values are photo, sketch"),
        (torch.tensor(3), r"members of shape \[\] do not fit 10 samples"),
        (7, "members are int; give a tensor"),
        ([], "members are list; give a tensor"),
        (DOMAIN.to_sparse(), "sparse"),
    ],
)
def test_wrong_members_are_refused_before_the_backward_pass(members: object, says: str) -> None:
    model = mlp()
    with Lens(model, GROUPS, every=1) as lens:
        with pytest.raises(LabelsError, match=says):
            lens.backward(F.cross_entropy(model(X), Y), Y, members=members)
        assert all(p.grad is None for p in model.parameters())


def test_members_for_groups_of_classes_are_refused() -> None:
    model = mlp()
    wrong = pytest.raises(LabelsError, match="members were given, but the groups are made of classes")
    with Lens(model, ClassGroups.per_class(4), every=1) as lens, wrong:
        lens.backward(F.cross_entropy(model(X), Y), Y, members=DOMAIN)


def test_names_for_values_without_names_are_refused() -> None:
    model = mlp()
    wrong = pytest.raises(LabelsError, match="the values of domain have no names; name them")
    with Lens(model, ClassGroups.of_attribute("domain", 4), every=1) as lens, wrong:
        lens.backward(F.cross_entropy(model(X), Y), Y, members=["photo"] * 10)


def test_a_probe_with_such_groups_is_refused() -> None:
    model = mlp()
    with Lens(model, GROUPS, every=1) as lens, pytest.raises(LabelsError, match="a probe reads labels only"):
        lens.probe([(X, Y)])
