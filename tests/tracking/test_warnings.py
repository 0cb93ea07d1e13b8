"""The script's warnings: shown under tracking as often as without. Real processes, and what the func engine keeps quiet."""

from __future__ import annotations

import warnings

import pytest

from gradlens.engines.fallback_warning import no_fallback_warning
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


def test_fallback_warning_is_ignored_and_others_are_still_shown_once():
    registry, shown = {}, []
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = lambda message, *_: shown.append(str(message))

        def warn(text):
            warnings.warn_explicit(text, UserWarning, "script.py", 1, registry=registry)

        warn("of the script")
        with no_fallback_warning():
            warn("There is a performance drop because ...")
            warn("of the script")
        warn("of the script")
        warn("There is a performance drop because ...")

    assert shown == ["of the script", "There is a performance drop because ..."]
