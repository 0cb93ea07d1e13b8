"""Layouts of rows: what changes between measurements begins another file."""

import numpy as np

from gradlens.runlog import Run, RunWriter
from tests.runlog.made import cosine, measurement, meta, whole


def test_loss_components_add_up_to_groups_and_may_begin_in_a_later_phase(tmp_path):
    split = ("ce/head", "ce/tail", "keep/head", "keep/tail", "rest", "update")
    writer = RunWriter(tmp_path / "run", meta())
    writer.append(measurement(1))
    writer.append(measurement(2, names=split, absent=("keep/tail",)))
    writer.append(measurement(3))
    writer.close()
    run = Run(tmp_path / "run")
    assert run.steps.tolist() == [1, 2, 3]
    assert run.names == ("head", "tail", "ce/head", "ce/tail", "keep/head", "keep/tail", "rest", "update")
    assert run.components == ("ce", "keep")
    assert run.has_update
    g = whole(2, 6)
    total = g[[0, 1, 2, 4]].sum(0)
    expected = {
        "head": g[0] + g[2],
        "tail": g[1],
        "ce": g[0] + g[1],
        "keep": g[2],
        "keep/head": g[2],
        "rest": g[4],
        "update": g[5],
    }
    for name, vector in expected.items():
        np.testing.assert_allclose(run.cosine(name)[1], cosine(vector, total), rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(run.norm(name)[1], np.linalg.norm(vector), rtol=1e-9, err_msg=name)
    np.testing.assert_allclose(run.conflict("head", "keep")[1], cosine(g[0] + g[2], g[2]), rtol=1e-9)
    assert np.isnan(run.cosine("keep/tail")).all()
    assert np.isnan(run.cosine("ce")).tolist() == [True, False, True]
    np.testing.assert_allclose(run.cosine("head")[0], cosine(whole(1)[0], whole(1).sum(0)), rtol=1e-9)
    shares = np.array([expected[k] @ total / (total @ total) for k in ("head", "tail")])
    np.testing.assert_allclose(run.share_distance()[1], 0.5 * abs(shares - [0.75, 0.25]).sum(), rtol=1e-9)
    gram = run.gram()
    np.testing.assert_allclose(gram[1, run.names.index("ce/head"), run.names.index("update")], g[0] @ g[5], rtol=1e-9)
    assert np.isnan(gram[1, 0]).all()
