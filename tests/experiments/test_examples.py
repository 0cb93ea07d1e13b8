"""The examples run as they stand, in a fresh folder, and say what is true of the runs that they leave."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gradlens import Run, distortion
from tests.tracking.processes import plain, run, tracked

EXAMPLES = Path(__file__).resolve().parents[2] / "experiments" / "examples"
pytest.importorskip("sklearn")


def expect_exact(found: Run) -> None:
    assert found.status.state == "finished"
    assert np.nanmax(found.residual) < 1e-5
    shares = np.nan_to_num(np.stack([found.share(name) for name in (*found.groups.names, "rest")]))
    np.testing.assert_allclose(shares.sum(0), 1, atol=1e-6)


def test_a_loop_and_reading_its_run(tmp_path):
    done = plain(tmp_path, str(EXAMPLES / "lens_loop.py"))
    assert done.code == 0, done.err
    found = Run(tmp_path / "runs" / "lens_loop")
    expect_exact(found)
    assert len(found) == 160
    assert found.groups.names == ("head", "tail")
    # Three batches hold no rare digit: they have no share of the tail, and do not count in its mean.
    head, tail = found.share("head"), found.share("tail")
    assert np.isnan(tail).sum() == 3
    mean = tail[~np.isnan(tail)].mean()
    assert f"share of the update: head {head.mean():.0%}, tail {mean:.0%}" in done.out

    read = plain(tmp_path, str(EXAMPLES / "read_a_run.py"))
    assert read.code == 0, read.err
    assert "160 measured steps, finished" in read.out
    assert f"distortion {distortion(found):.2f}" in read.out
    assert f"share of the update {np.nanmean(found.share('tail')):.0%}" in read.out

    again = plain(tmp_path, str(EXAMPLES / "lens_loop.py"))
    assert again.code == 1
    assert "RunExistsError" in again.err, "nothing is overwritten"


def test_groups_of_an_attribute(tmp_path):
    done = plain(tmp_path, str(EXAMPLES / "digits_by_rotation.py"))
    assert done.code == 0, done.err
    found = Run(tmp_path / "runs" / "digits_by_rotation")
    expect_exact(found)
    assert (len(found), found.groups.names, found.groups.members) == (290, ("upright", "turned"), "angle")
    assert found.counts.sum() == 10 * 1797
    assert found.correct.sum() > 0.8 * 10 * 1797  # of digits, not of angles
    upright, turned = found.share("upright"), found.share("turned")
    assert f"upright: {np.nanmean(upright):.0%} of the update" in done.out
    # The few turned digits steer more than their part of the samples, as they are hard.
    assert np.nanmean(turned) > 1.5 * found.counts[:, 1].sum() / found.counts.sum()


def test_a_loss_by_hand(tmp_path):
    script = str(EXAMPLES / "focal_by_hand.py")
    alone, watched = plain(tmp_path, script), tracked(tmp_path, script, options=("--every", "1", "--out", "run"))
    assert (alone.code, watched.code) == (0, 0), watched.err
    assert watched.out.startswith(alone.out), "the training is the same"
    found = Run(tmp_path / "run")
    expect_exact(found)
    assert len(found) >= 75
    assert found.groups.names == ("head", "tail")


def test_the_loss_by_hand_is_the_focal_loss():
    """Against sums over rows in float64, with the formula as it is printed."""
    source = (EXAMPLES / "focal_by_hand.py").read_text()
    start = source.index("def focal_loss")
    names = {"torch": torch}
    exec(source[start : source.index("\n\n\n", start)], names)
    logits, labels = torch.randn(5, 3, dtype=torch.float64), torch.tensor([0, 2, 1, 1, 0])
    p = [float(torch.exp(row[label]) / torch.exp(row).sum()) for row, label in zip(logits, labels, strict=True)]
    assert float(names["focal_loss"](logits, labels)) == pytest.approx(
        np.mean([-((1 - q) ** 2) * np.log(q) for q in p])
    )


def test_a_callback_of_lightning(tmp_path):
    pytest.importorskip("lightning")
    done = run([sys.executable, str(EXAMPLES / "lightning_callback.py")], tmp_path)
    assert done.code == 0, done.err
    folder = tmp_path / "runs" / "lightning"
    assert f"the run is in {folder}" in done.out
    found = Run(folder)
    expect_exact(found)
    assert set(found.epoch) == {0, 1, 2, 3, 4}


def test_the_notebook(tmp_path, monkeypatch):
    """Executed by a kernel: every cell, and the pages of the objects in the output."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "TMPDIR"):
        folder = tmp_path / name.lower()
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    notebook = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert all(cell.cell_type != "code" or not cell.outputs for cell in notebook.cells), "kept without output"
    client = nbclient.NotebookClient(
        copy.deepcopy(notebook), timeout=240, resources={"metadata": {"path": str(tmp_path)}}
    )
    cells = {cell.id: cell for cell in client.execute().cells if cell.cell_type == "code"}

    def page(cell: str) -> str:
        (shown,) = [
            output.data["text/html"] for output in cells[cell].outputs if output.output_type == "execute_result"
        ]
        return shown

    (folder,) = tmp_path.glob("tmpdir/*/digits")
    found = Run(folder)
    expect_exact(found)
    for cell, title in (("groups", "Groups of classes"), ("train", "Measurement of step"), ("run", "Run digits")):
        assert title in page(cell)
        assert "plotly-graph-div" in page(cell)
    assert f"measured {len(found)} of {len(found)} steps" in page("run")
    assert f"distortion {distortion(found):.2f}" in cells["arrays"].outputs[0].text
