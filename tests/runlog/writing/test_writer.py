"""What a writer takes and refuses, and what it imports."""

import sys

import numpy as np
import pytest

from gradlens.runlog import Run, RunError, RunWriter
from tests.runlog.made import LAYERS, measurement, meta


def test_rows_that_do_not_fit_are_refused_whole(tmp_path):
    writer = RunWriter(tmp_path / "run", meta(layer_names=LAYERS))
    good, bad = measurement(1), measurement(2)
    object.__setattr__(bad, "counts", np.ones(3))
    with pytest.raises(RunError, match=r"step 2: counts has shape \(3,\); 2 groups \(head, tail\) need \(2,\)"):
        writer.append_many([good, bad])
    object.__setattr__(bad, "counts", np.ones(2))
    object.__setattr__(bad, "gram", np.ones((2, 2)))
    with pytest.raises(RunError, match=r"gram has shape \(2, 2\)"):
        writer.append(bad)
    object.__setattr__(bad, "gram", np.ones((3, 3)))
    object.__setattr__(bad, "layers", np.ones((5, 3, 3), dtype=np.float32))
    with pytest.raises(RunError, match="5 layers measured, but the run names 2"):
        writer.append(bad)
    with pytest.raises(RunError, match="colour"):
        writer.update_meta(colour="red")
    writer.append(measurement(3))
    writer.close()
    writer.close()
    with pytest.raises(RunError, match="is closed"):
        writer.append(good)
    assert Run(tmp_path / "run").steps.tolist() == [3]


def test_the_caller_may_reuse_its_arrays(tmp_path):
    writer = RunWriter(tmp_path / "run", meta(layer_names=LAYERS))
    m = measurement(1, layers=True)
    expected = m.gram.copy()
    writer.append(m)
    for array in (m.gram, m.layers, m.counts, m.loss, m.correct):
        array[:] = -1
    writer.close()
    run = Run(tmp_path / "run")
    np.testing.assert_array_equal(run.gram()[0], expected)
    assert (run.layers, run.counts.tolist()) == (LAYERS, [[6.0, 2.0]])
    assert (run.gram("fc") > -1).any()


def test_writing_imports_neither_pandas_nor_torch(tmp_path):
    import subprocess

    code = (
        "import sys; from pathlib import Path; from tests.runlog.made import write_run; from gradlens.runlog import Run;"
        f"write_run(Path({str(tmp_path / 'run')!r}), range(100), layers=True); Run({str(tmp_path / 'run')!r}).cosine('tail');"
        "print(sorted({'pandas', 'torch', 'plotly'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
