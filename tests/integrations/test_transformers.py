"""The callback of Transformers, in a real fit of a small model: the same weights, and what `gradlens track` would measure."""

from __future__ import annotations

import pytest

from gradlens.runlog import Run
from tests.integrations.fits import GROUPS, expect_same, fits


@pytest.mark.slow
def test_transformers(script, tmp_path):
    from gradlens.integrations.transformers import LensCallback

    callback = LensCallback(GROUPS, every=2)
    main = script("hf_trainer").main
    expect_same(*fits(lambda **named: main("bert", **named), callback, tmp_path))

    run = Run(tmp_path / "runs" / "transformers")
    assert callback.run_path == run.path
    assert run.status.state == "finished"
    assert run.steps.tolist() == [2, 4]
    assert len(run.evaluations) == 2
    assert run.evaluations[0]["eval_loss"] > 0
