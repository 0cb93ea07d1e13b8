"""The last line names what computed the gradients of a script that never calls backward. Real processes."""

from __future__ import annotations

import pytest

from tests.tracking.processes import plain, tracked

PROGRAM = """
import torch, torch.nn.functional as F
from torch import nn
torch.manual_seed(0)
body, a, b = nn.Sequential(nn.Linear(8, 16), nn.ReLU()), nn.Linear(16, 4), nn.Linear(16, 4)
params = [*body.parameters(), *a.parameters(), *b.parameters()]
optimizer = torch.optim.SGD(params, lr=0.1)
for _ in range(6):
    y = torch.arange(20) % 4
    features = body(torch.randn(20, 8))
    losses = [F.cross_entropy(a(features), y), F.cross_entropy(b(features), (y + 1) % 4)]
    optimizer.zero_grad()
    step()
    optimizer.step()
print([param.sum().item() for param in params])
"""
BY_HAND = """
def step():
    ones = [torch.ones_like(loss) for loss in losses]
    for param, gradient in zip(params, torch.autograd.grad(losses, params, grad_outputs=ones)):
        param.grad = gradient
"""
TORCHJD = """
from torchjd.aggregation import Mean
from torchjd.autojac import jac_to_grad, mtl_backward
def step():
    mtl_backward(losses, features=features)
    jac_to_grad(body.parameters(), Mean())
"""


@pytest.mark.parametrize(
    ("step", "cause"), [(BY_HAND, "torch.autograd.grad was given grad_outputs="), (TORCHJD, "TorchJD (mtl")]
)
def test_gradients_without_a_backward_pass_are_named(tmp_path, step, cause):
    if step is TORCHJD:
        pytest.importorskip("torchjd", reason="TorchJD is not installed")
    (tmp_path / "train.py").write_text(step + PROGRAM)
    found = tracked(tmp_path, "train.py", options=("--every", "1"))

    expected = plain(tmp_path, "train.py")
    assert (found.code, found.out, found.err) == (0, expected.out, expected.err)
    (line,) = found.said
    assert line.startswith(f"nothing was measured: no backward pass ran in this process; {cause}"), line
