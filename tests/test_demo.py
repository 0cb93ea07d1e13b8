"""The demo in its quick form: what it leaves behind and prints."""

import io

import numpy as np
import pytest
import torch
from rich.console import Console

from gradlens.demo import BALANCED, LONG_TAILED, DemoSettings, comparison, free_folder, run_demo
from gradlens.runlog import Run, RunExistsError


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "out"
    printed = io.StringIO()
    state = torch.get_rng_state()
    result = run_demo(folder, seed=1, quick=True, console=Console(file=printed, width=120))
    assert torch.equal(torch.get_rng_state(), state)
    return folder, result, printed.getvalue()


def test_both_runs_are_complete_and_share_the_groups(demo):
    _, result, _ = demo
    runs = {name: Run(path) for name, path in result.runs.items()}
    for run in runs.values():
        assert run.status.state == "finished"
        # 342 images in batches of 32, 8 epochs
        assert run.steps.tolist() == list(range(11 * 8))
        assert run.residual.max() < 1e-5
        assert run.groups.classes == ((0, 1, 2, 3, 4), (5, 6, 7, 8, 9))
        assert run.counts.sum() == 342 * 8
        assert np.isfinite(run.norm()).all()
    assert runs[LONG_TAILED].meta.class_counts is not None
    assert runs[LONG_TAILED].meta.subset_hash != runs[BALANCED].meta.subset_hash
    # 33 tail images of 342 in the long-tailed run
    assert runs[LONG_TAILED].counts.sum(0)[1] == 33 * 8


def test_the_long_tail_shows(demo):
    _, result, _ = demo
    long_tailed, balanced = Run(result.runs[LONG_TAILED]), Run(result.runs[BALANCED])
    assert np.nanmean(long_tailed.cosine("head")) > np.nanmean(long_tailed.cosine("tail")) + 0.1
    assert np.nanmean(long_tailed.share("tail")) < np.nanmean(balanced.share("tail")) - 0.1
    assert result.accuracies[BALANCED]["tail"] > result.accuracies[LONG_TAILED]["tail"] + 10


def test_what_is_printed(demo):
    folder, result, printed = demo
    for text in (
        "342 images",
        "cosine with the overall gradient",
        "distortion",
        f"gradlens dashboard {folder}",
        "test accuracy",
    ):
        assert text in printed
    assert result.report.read_text().lstrip().lower().startswith(("<!doctype html", "<html"))
    assert str(result.report) in printed


def test_an_earlier_demo_is_not_overwritten(demo):
    folder, result, _ = demo
    before = (result.runs[BALANCED] / "run.json").read_bytes()
    with pytest.raises(RunExistsError):
        run_demo(folder, quick=True, console=Console(file=io.StringIO()))
    assert (result.runs[BALANCED] / "run.json").read_bytes() == before


def test_free_folder(tmp_path):
    assert free_folder(tmp_path / "demo") == tmp_path / "demo"
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo-2").mkdir()
    assert free_folder(tmp_path / "demo") == tmp_path / "demo-3"


def test_one_seed_gives_one_result(tmp_path):
    settings = DemoSettings(epochs=1)
    results = [
        run_demo(tmp_path / str(i), seed=2, settings=settings, console=Console(file=io.StringIO())) for i in range(2)
    ]
    grams = [Run(result.runs[LONG_TAILED]).gram() for result in results]
    np.testing.assert_array_equal(*grams)
    assert comparison({name: Run(path) for name, path in results[0].runs.items()}, results[0].accuracies).row_count > 8
