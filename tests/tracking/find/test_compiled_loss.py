"""A loss that a compiled function has returned is told by the graph, and its function by name."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch._dynamo.utils
import torch.nn.functional as F
from torch import nn

from gradlens.tracking.find import compiled_loss
from gradlens.tracking.find.compiled_loss import functions, is_inside, loss_line, step_line


@pytest.fixture(autouse=True)
def _nothing_was_compiled():
    """Other tests in this process compile, and ask what was compiled, too."""
    torch._dynamo.utils.clear_compilation_metrics()
    yield
    torch._dynamo.utils.clear_compilation_metrics()


def loss_of(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(model(x), y)


def test_only_a_loss_that_was_computed_inside_is_meant():
    model, x, y = nn.Linear(3, 2), torch.randn(4, 3), torch.arange(4) % 2
    inside = torch.compile(loss_of, backend="aot_eager")(model, x, y)
    outside = F.cross_entropy(torch.compile(model, backend="aot_eager")(x), y)
    assert is_inside([inside])
    assert is_inside([inside / 4 + model.weight.square().sum()])
    assert not is_inside([outside])
    assert not is_inside([loss_of(model, x, y)])
    assert "loss_of (test_compiled_loss.py:" in functions()
    assert "loss_of (test_compiled_loss.py:" in loss_line()


def test_few_functions_are_named(monkeypatch):
    names = ["a", "b", "a", "c", "d", "torch_dynamo_resume_in_a_at_3"]
    metrics = [SimpleNamespace(co_name=name, co_filename="/x/train.py", co_firstlineno=7) for name in names]
    metrics.append(SimpleNamespace(co_name="own", co_filename=torch.__file__, co_firstlineno=7))
    monkeypatch.setitem(
        compiled_loss.sys.modules, "torch._dynamo.utils", SimpleNamespace(get_compilation_metrics=lambda: metrics)
    )
    assert functions() == "a (train.py:7), b (train.py:7), c (train.py:7) and 1 more"
    assert "(train_step)" in step_line("train_step")
    metrics.clear()
    assert functions() is None
    assert "its name is not known" in loss_line()
