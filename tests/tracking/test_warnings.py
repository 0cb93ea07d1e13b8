"""The script's warnings: shown under tracking as often as without. Real processes."""

from __future__ import annotations

import pytest

from tests.tracking.processes import plain, tracked

# Python shows a warning once for each place in the code; entering or leaving a filter of warnings makes it forget that.
SCRIPT = """
import warnings
import torch
from torch.utils.data import DataLoader, TensorDataset

model = torch.nn.Linear(4, 4)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for x, y in DataLoader(TensorDataset(torch.randn(40, 4), torch.arange(40) % 4), 8):
    warnings.warn("said once")
    torch.nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()
    optimizer.zero_grad()
"""


@pytest.mark.parametrize("engine", ["auto", "func"])
def test_warning_of_the_script_is_shown_once(tmp_path, engine):
    (tmp_path / "script.py").write_text(SCRIPT)

    alone = plain(tmp_path, "script.py")
    found = tracked(tmp_path, "script.py", options=("--every", "1", "--engine", engine, "--out", "run"))

    assert alone.err.count("said once") == 2  # the warning and its line of the script
    assert found.err.count("said once") == 2
    assert (tmp_path / "run" / "run.json").exists()
