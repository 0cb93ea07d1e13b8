"""Curves that are kept and prolonged as a run grows."""

import numpy as np
import pytest

from gradlens.runlog import Run
from tests.runlog.made import measurement, write_run


def test_arrays_that_were_given_out_do_not_change(tmp_path):
    writer = write_run(tmp_path / "run", range(10), close=False)
    run = Run(tmp_path / "run")
    kept = [(run.steps, run.steps.copy())]
    for step in range(10, 60):
        writer.append(measurement(step))
        writer.flush()
        run.refresh()
        kept.append((run.steps, run.steps.copy()))
    writer.close()
    assert [len(array) for array, _ in kept] == list(range(10, 61))
    for array, copy in kept:
        np.testing.assert_array_equal(array, copy)


def test_curves_that_are_kept_are_bounded(tmp_path, monkeypatch):
    from gradlens.runlog.reading import curves

    monkeypatch.setattr(curves, "MOST_BYTES", 3 * 8 * 500)
    write_run(tmp_path / "run", range(500))
    run = Run(tmp_path / "run")
    for name in ("head", "tail", "rest"):
        run.cosine(name)
        run.share(name)
        run.norm(name)
    assert sum(array.nbytes for array, _ in run._series._curves._kept.values()) <= 3 * 8 * 500
    np.testing.assert_allclose(run.cosine("head")[7], measurement(7).cosine("head"))


@pytest.mark.parametrize("chunk", [1, 5000, 1 << 20])
def test_parts_of_any_size_make_the_same_curve(tmp_path, monkeypatch, chunk):
    from gradlens.runlog.reading import curves

    monkeypatch.setattr(curves, "CHUNK_BYTES", chunk)
    write_run(tmp_path / "run", range(333))
    run = Run(tmp_path / "run")
    np.testing.assert_allclose(run.cosine("tail"), [measurement(s).cosine("tail") for s in range(333)], rtol=1e-9)
