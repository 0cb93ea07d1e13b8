"""Errors that the script meets in measured steps read as under plain Python. Real processes, tracked against plain."""

from __future__ import annotations

import pytest

from tests.tracking.processes import plain, tracked

TRAINING = """
import traceback
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

def refuses(*given):
    raise ValueError("refused")

def of_one(gradient):
    return None

torch.manual_seed(0)
model = nn.Linear(4, 4)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for step, (x, y) in enumerate(DataLoader(TensorDataset(torch.randn(40, 4), torch.arange(40) % 4), 8)):
    optimizer.zero_grad()
    output = model(x)
    loss = nn.functional.cross_entropy(output, y)
    if step == 2:
        try:
            FAULT
        except (ValueError, TypeError):
            traceback.print_exc()
            AFTER
            continue
    loss.backward()
    optimizer.step()
print(model.weight.sum().item())
"""

FAULTS = {
    "hook of a tensor": "output.register_hook(refuses); loss.backward()",
    "hook of a node": "loss.grad_fn.register_hook(refuses); loss.backward()",
    "hook of a module": "model.register_full_backward_hook(refuses); nn.functional.cross_entropy(model(x), y).backward()",
    "hook of other arguments": "loss.grad_fn.register_hook(of_one); loss.backward()",
    "loss without labels": "nn.functional.cross_entropy(output)",
}


@pytest.mark.parametrize("ends", [False, True], ids=["caught", "uncaught"])
@pytest.mark.parametrize("fault", FAULTS)
def test_no_frame_of_ours_is_shown(tmp_path, fault, ends):
    after = "raise" if ends else "pass"
    program = TRAINING.replace("FAULT", FAULTS[fault]).replace("AFTER", after)
    if fault == "hook of a module":  # whose warning names the place of the call
        program = "import warnings\nwarnings.simplefilter('ignore')\n" + program.replace("AFTER", after)
        if not ends:
            program = program.replace("continue", "break")
    (tmp_path / "script.py").write_text(program)

    alone = plain(tmp_path, "script.py")
    options = ("--every", "1", "--groups", "head=0-1,tail=2-3", "--out", "run")
    found = tracked(tmp_path, "script.py", options=options)

    assert "Traceback" in alone.err
    assert (found.code, found.out) == (alone.code, alone.out)
    assert found.err.split("\nWhose gradient")[0].rstrip() == alone.err.rstrip()
