"""The callback of Lightning, in real fits of a small model: the same weights, and what `gradlens track` would measure."""

from __future__ import annotations

import pytest

from gradlens.runlog import Run
from tests.integrations.fits import GROUPS, expect_same, fits


@pytest.mark.slow
def test_lightning(script, tmp_path):
    from gradlens.integrations.lightning import LensCallback

    callback = LensCallback(GROUPS, out=tmp_path / "run", every=1, layers=True)
    expect_same(*fits(script("lightning_fit").main, callback, tmp_path))

    run = Run(callback.run_path)
    assert run.path == tmp_path / "run"
    assert run.status.state == "finished"
    assert run.steps.tolist() == list(range(1, 8))
    assert run.epoch.tolist() == [0] * 3 + [1] * 4
    assert run.groups.names == ("head", "tail")
    assert [evaluation["split"] for evaluation in run.evaluations] == ["val", "val"]
    assert 0 < run.evaluations[0]["val_acc"] <= 1
    assert {"val_loss", "val_acc", "lr"} <= set(run.logged_names)
    assert run.logged("val_loss").steps.tolist() == [4, 8]
    found = [evaluation["val_loss"] for evaluation in run.evaluations]
    assert run.logged("val_loss").values.tolist() == pytest.approx(found, rel=1e-12)
    assert set(run.logged("lr").values.tolist()) == {0.05}
    assert callback.lens is None


@pytest.mark.slow
def test_a_fit_that_fails(script, tmp_path):
    from gradlens.integrations.lightning import LensCallback

    module = script("lightning_fit")
    ordinary = module.Classifier.training_step

    def failing(self, batch, batch_idx):
        if self.global_step == 2:
            raise ArithmeticError("no more")
        return ordinary(self, batch, batch_idx)

    module.Classifier.training_step = failing
    callback = LensCallback("head=0-1,tail=2-3", every=1)
    with pytest.raises(ArithmeticError):
        module.main(callbacks=[callback])

    run = Run(tmp_path / "runs" / "lightning")
    assert run.status.state == "failed"
    assert run.status.reason == "ArithmeticError: no more"
