"""What stands above the figures of a run, and what is said of a damaged run."""

import numpy as np
import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from gradlens.metrics.measurement import Measurement
from gradlens.runlog import Run, RunWriter
from tests.app.opened_pages import charts, opened, text
from tests.made_runs import make_run


def test_torn_and_failed_runs_are_shown_with_what_is_wrong(monkeypatch, folder):
    at = opened(monkeypatch, folder, "run", run="torn")
    assert 0 < len(Run(folder / "torn")) < 100
    assert charts(at)
    at = opened(monkeypatch, folder, "run", run="failed")
    assert "loss is NaN" in at.warning[0].value


def test_steps_whose_gradient_is_not_finite_are_counted(monkeypatch, tmp_path):
    make_run(tmp_path / "fine", steps=12, seed=1)
    run = make_run(tmp_path / "broken", steps=12, status=None)
    with RunWriter(tmp_path / "broken", run.meta, resume=True) as writer:
        gram = np.full((3, 3), np.inf)
        nothing = np.zeros(2)
        writer.append(
            Measurement(12, 0.0, None, run.names, gram, None, nothing + 1, nothing, nothing, 0.0, float("nan"), 0.0)
        )
    said = "1 of 13 measured steps has a gradient that is not finite"
    for page, query in (("runs", {}), ("run", {"run": "broken"}), ("compare", {"runs": ["broken", "fine"]})):
        assert said in text(opened(monkeypatch, tmp_path, page, **query)).replace("\\", ""), page
    assert said not in text(opened(monkeypatch, tmp_path, "run", run="fine"))
