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
    found = [evaluation["eval_loss"] for evaluation in run.evaluations]
    assert run.logged("eval_loss").values.tolist() == pytest.approx(found, rel=1e-12)
    assert run.logged("eval_loss").steps.tolist() == [3, 6]


@pytest.mark.slow
def test_a_new_callback_after_a_fit_that_failed_and_one_inside_another(script, tmp_path):
    """As in a notebook. The Trainer reports no failure; a fit that runs around the new one goes on being measured."""
    from transformers import TrainerCallback

    from gradlens.integrations.transformers import LensCallback

    class At(TrainerCallback):
        def __init__(self, act):
            self.act = act

        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 3:
                self.act()

    def fail():
        raise MemoryError("no more")

    def lens(name):
        return LensCallback(GROUPS, every=1, out=tmp_path / name)

    main = script("hf_trainer").main
    with pytest.raises(MemoryError):
        main("bert", callbacks=[lens("failed"), At(fail)])
    assert Run(tmp_path / "failed").status.state == "running"

    within = lens("within")
    main("bert", callbacks=[lens("around"), At(lambda: main("bert", callbacks=[within]))])

    runs = {name: Run(tmp_path / name) for name in ("failed", "around", "within")}
    assert {name: run.status.state for name, run in runs.items()} == {
        "failed": "failed",
        "around": "finished",
        "within": "finished",
    }
    assert "nobody had reported the end" in runs["failed"].status.reason
    assert runs["within"].steps.tolist() == [1, 2, 3, 4, 5]
    assert runs["around"].steps.tolist() == [1, 2, 3, 4, 5]
