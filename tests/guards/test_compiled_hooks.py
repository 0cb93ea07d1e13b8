"""What torch.compile makes of a model is the same with gradlens, also if the script compiles it in a measured step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradlens import ClassGroups, Lens

GROUPS = ClassGroups({"head": [0, 1], "tail": [2, 3]}, num_classes=4)


def in_place(model: nn.Module, backend: Any) -> nn.Module:
    model.compile(backend=backend)
    return model


def a_part(model: nn.Module, backend: Any) -> nn.Module:
    model[0] = torch.compile(model[0], backend=backend)
    return model


def train(how: Any, measured: bool) -> tuple[list[list[str]], list[torch.Tensor], Any]:
    """Trains six steps, compiles the model before the third; returns the compiled graphs, the weights and the lens."""
    torch._dynamo.reset()
    graphs: list[list[str]] = []

    def backend(graph: Any, inputs: Any) -> Any:
        operations = [str(node.target) for node in graph.graph.nodes if node.op not in ("placeholder", "output")]
        if operations not in graphs:  # a model is compiled once more where its hooks have changed
            graphs.append(operations)
        return graph.forward

    torch.manual_seed(0)
    model = nn.Sequential(nn.Sequential(nn.Linear(6, 8), nn.Tanh()), nn.Dropout(0.1), nn.Linear(8, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    lens = Lens(model, GROUPS, optimizer=optimizer, every=1) if measured else None
    for step in range(6):
        if step == 2:
            model = how(model, backend)
        x, y = torch.randn(12, 6), torch.randint(0, 4, (12,))
        logits = model(x)
        loss = F.cross_entropy(logits, y)
        optimizer.zero_grad()
        lens.backward(loss, y, outputs=logits) if lens else loss.backward()
        optimizer.step()
    if lens is not None:
        lens.close()
    return graphs, [*(p.detach() for p in model.parameters()), torch.get_rng_state()], lens


@pytest.mark.parametrize("how", [in_place, a_part])
def test_the_compiled_graphs_are_those_without_a_lens(how):
    expected, weights, _ = train(how, measured=False)
    graphs, left, lens = train(how, measured=True)

    assert expected
    assert graphs == expected
    assert all(map(torch.equal, left, weights))
    assert lens.engine_name == "masked"
    assert lens.last.step == 5
    assert lens.last.residual < 1e-6


@pytest.mark.parametrize("how", [in_place, a_part])
def test_a_model_that_is_compiled_before_the_lens_takes_no_hooks_inside(how):
    model = how(nn.Sequential(nn.Sequential(nn.Linear(6, 8)), nn.Linear(8, 4)), "eager")
    with Lens(model, GROUPS, every=1) as lens:
        assert lens.engine_name == "masked"
        assert "torch.compile hides the layers inside" in lens.engine_reason
