"""The curves that are computed together are those that are computed alone."""

import numpy as np
import pytest

from gradlens.metrics import series as quantities
from gradlens.runlog import Run
from gradlens.runlog.reading import recorded
from tests.made_runs import make_run

CASES = {
    "plain": {},
    "absent": {"absent": 0.3},
    "components": {"components": ("ce", "kd"), "update": True},
    "layers": {"layers": 2, "absent": 0.2},
}


def curves(run, layer=None):
    a, b = run.groups.names
    return {
        **{("cosine", g): run.cosine(g, layer) for g in (a, b)},
        **{("share", g): run.share(g, layer) for g in (a, b, "rest")},
        **{("norm", g): run.norm(g, layer=layer) for g in (a, b, "all")},
        "conflict": run.conflict(a, b, layer),
        "reversed": run.conflict(b, a, layer),
    }


@pytest.mark.parametrize("case", CASES)
def test_together_as_alone(monkeypatch, tmp_path, case):
    make_run(tmp_path / "run", steps=150, **CASES[case])
    layer = "block.1.conv" if case == "layers" else None
    together = curves(Run(tmp_path / "run"), layer)
    monkeypatch.setattr(recorded, "MOST_TOGETHER", 0)
    alone = curves(Run(tmp_path / "run"), layer)
    for key, values in together.items():
        np.testing.assert_allclose(values, alone[key], rtol=1e-9, atol=1e-12, err_msg=str(key))
    assert np.isfinite(together["share", "head"]).any()


def test_one_reading_gives_all_of_them_and_a_growing_run_prolongs_all(monkeypatch, tmp_path):
    make_run(tmp_path / "run", steps=60)
    run = Run(tmp_path / "run")
    calls = []
    compute = quantities.curves
    from gradlens.runlog.reading import series

    monkeypatch.setattr(series, "curves", lambda packed, *rest: calls.append(len(packed)) or compute(packed, *rest))
    before = curves(run)
    assert calls == [60]
    make_longer(tmp_path / "run", run)
    run.refresh()
    after = curves(run)
    assert calls == [60, 5]
    for key, values in after.items():
        assert len(values) == 65
        np.testing.assert_array_equal(values[:60], before[key])


def make_longer(path, run):
    from dataclasses import replace

    from gradlens.metrics.measurement import Measurement
    from gradlens.runlog import RunWriter

    writer = RunWriter(path, run.meta, resume=True)
    row = Measurement(
        step=0, time=run.time[0], epoch=None, names=run.names, gram=2 * run.gram()[0], layers=None, counts=run.counts[0],
        loss=run.loss[0], correct=run.correct[0], residual=0.0, total_loss=1.0, seconds=0.01,
    )  # fmt: skip
    writer.append_many([replace(row, step=60 + i) for i in range(5)])
    writer.close()
