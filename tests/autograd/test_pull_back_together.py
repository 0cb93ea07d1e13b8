"""Several cotangents in one pass: the same gradients as one pass for each, and only where that is safe and saves time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gradlens.autograd.cotangents import AnchoredLosses
from gradlens.autograd.pull_back_together import NODES, can_go_together, gradients_together
from gradlens.batch.rows import group_rows
from gradlens.engines import pull_back
from gradlens.groups import ClassGroups
from gradlens.guards.script_hooks import hide


@pytest.fixture(autouse=True)
def none_retained(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tensor keeps its gradient, also none of another test that still lives."""
    monkeypatch.setattr("gradlens.guards.own_pass._retained", {})


MODELS = {
    "mlp": lambda: nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 4, bias=False)),
    "normed": lambda: nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.LayerNorm(6), nn.Linear(6, 4)),
    "smooth": lambda: nn.Sequential(nn.Linear(5, 6), nn.GELU(), nn.Linear(6, 6), nn.SiLU(), nn.ELU(), nn.Linear(6, 4)),
    "dropout": lambda: nn.Sequential(nn.Linear(5, 6), nn.Dropout(0.4), nn.LeakyReLU(), nn.Sigmoid(), nn.Linear(6, 4)),
    "softmax": lambda: nn.Sequential(nn.Linear(5, 6), nn.Softmax(1), nn.Linear(6, 4), nn.LogSoftmax(1)),
}


def outputs_of(model: nn.Module) -> Tensor:
    output: Tensor = model(torch.randn(8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    return output


@pytest.mark.parametrize("name", MODELS)
def test_each_gradient_is_that_of_its_own_pass(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name]().double()
    params, output = list(model.parameters()), outputs_of(model)
    seeds = torch.randn(6, 8, 4, dtype=torch.float64)
    assert can_go_together([output], params, 6)
    found = gradients_together([output], params, [seeds])
    for v, seed in enumerate(seeds):
        expected = torch.autograd.grad([output], params, [seed], retain_graph=True)
        for gradients, each in zip(found, expected, strict=True):
            assert gradients is not None
            torch.testing.assert_close(gradients[v], each, rtol=1e-12, atol=1e-12)
    assert all(param.grad is None for param in params)


def test_a_parameter_that_is_not_used_has_no_gradients() -> None:
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    found = gradients_together([used * 2], [used, unused], [torch.eye(2)])
    assert found[1] is None
    torch.testing.assert_close(found[0], 2 * torch.eye(2))


class Counted(torch.autograd.Function):
    """A function of a script: it must see one cotangent at a time."""

    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, g):
        return g


def test_only_well_known_operations_are_given_several() -> None:
    param = nn.Parameter(torch.ones(2))
    assert can_go_together([param * 2], [param], 3)
    assert not can_go_together([Counted.apply(param * 2)], [param], 3)  # type: ignore[no-untyped-call]
    assert not can_go_together([torch.fft.fft(param * 2).real], [param], 3)


def checkpointed() -> tuple[Tensor, list[nn.Parameter]]:
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Dropout(0.4), nn.Linear(6, 4)).double()
    return checkpoint(outputs_of, model, use_reentrant=False), list(model.parameters())


def test_what_other_code_packs_is_unpacked_for_one_cotangent_at_a_time() -> None:
    output, params = checkpointed()
    assert not can_go_together([output], params, 3)
    with torch.autograd.graph.save_on_cpu():
        packed = params[0] * params[0]
    assert not can_go_together([packed], params, 3)
    assert can_go_together([params[0] * params[0]], params, 3)


def test_each_group_of_a_checkpointed_model_has_the_gradient_of_its_own_pass() -> None:
    output, params = checkpointed()
    labels = torch.tensor([0, 1, 2, 3, 0, 1, 2, 0])
    rows = group_rows(labels, ClassGroups.per_class(4), output)
    losses = torch.nn.functional.cross_entropy(output, labels, reduction="none")
    found = pull_back(AnchoredLosses([losses.sum()], [output]), rows, [(0, k) for k in range(4)], params)
    for group, vector in enumerate(found):
        expected = torch.autograd.grad(losses[labels == group].sum(), params, retain_graph=True)
        torch.testing.assert_close(vector, list(expected), rtol=1e-12, atol=1e-12)


def test_it_must_save_time_and_not_need_much_memory() -> None:
    param = nn.Parameter(torch.ones(2))
    assert not can_go_together([param * 2], [param], 2)
    assert not can_go_together([param.expand(2**19, 2) * 2], [param], 3)
    deep: Tensor = param
    for _ in range(NODES + 1):
        deep = deep * 1
    assert not can_go_together([deep], [param], 3)


def test_a_tensor_that_keeps_its_gradient_sees_single_gradients(request: pytest.FixtureRequest) -> None:
    request.addfinalizer(hide())
    param = nn.Parameter(torch.ones(2))
    inside = param * 2
    inside.retain_grad()
    assert not can_go_together([inside * 2], [param], 3)
    del inside
    assert can_go_together([param * 2], [param], 3)
