"""The demo in its quick form: what it leaves behind and prints."""

import io
import re

import numpy as np
import pytest
import torch
from rich.console import Console

from gradlens.analysis.distortion import distortion, distortion_interval
from gradlens.commands.demo.run import BALANCED, DUAL, LONG_TAILED, DemoSettings, free_folder, run_demo
from gradlens.commands.demo.table import DemoColumn, comparison, phases_of
from gradlens.metrics.catalogue import QUANTITIES
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
    assert list(runs) == [BALANCED, LONG_TAILED, DUAL]
    for run in (runs[BALANCED], runs[LONG_TAILED]):
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


def test_the_dual_phase_run_has_both_phases(demo):
    _, result, _ = demo
    run = Run(result.runs[DUAL])
    assert run.status.state == "finished"
    assert [phase.name for phase in run.phases] == ["I", "II"]
    # 309 head images in 10 batches for 8 epochs, then 5 x 20 of them and 33 of the tail in 5 for 16
    assert run.steps.tolist() == list(range(8 * 10 + 16 * 5))
    assert run.counts[: 8 * 10].sum(0).tolist() == [8 * 309, 0]
    assert run.counts[8 * 10 :].sum(0).tolist() == [16 * 100, 16 * 33]
    # In float32 one step of 160 has 4e-5 on some processors, the others are far below: distances of the retention loss are small.
    assert np.nanmax(run.residual) < 1e-4
    assert np.nanmedian(run.residual) < 1e-6
    # what the head and the tail contribute is told apart by loss component
    assert {"classification/head", "intra/head", "retention/head", "retention/tail"} <= set(run.names)
    assert run.meta.subset_hash == Run(result.runs[LONG_TAILED]).meta.subset_hash


def test_the_distortion_falls(demo):
    _, result, _ = demo
    long_tailed, balanced, dual = (Run(result.runs[name]) for name in (LONG_TAILED, BALANCED, DUAL))
    assert distortion(dual, start=8 * 10) < distortion(long_tailed) - 0.1
    assert distortion(balanced) < distortion(long_tailed) - 0.1
    assert result.accuracies[DUAL]["tail"] > result.accuracies[LONG_TAILED]["tail"] + 10


def test_the_fall_is_printed_with_its_interval(demo):
    _, result, printed = demo
    line = next(line for line in printed.splitlines() if line.startswith("Distortion, "))
    assert line.startswith("Distortion, dual-phase II less the long-tailed run: ")
    found = re.search(r": ([+-]\d\.\d{3}) \[([+-]\d\.\d{3}), ([+-]\d\.\d{3})\]: it falls ", line)
    change, low, high = (float(text) for text in found.groups())
    long_tailed, dual = (Run(result.runs[name]) for name in (LONG_TAILED, DUAL))
    assert change == pytest.approx(distortion(dual, start=8 * 10) - distortion(long_tailed), abs=6e-4)
    assert low < change < high < 0


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
        "What the paper's Figure 1 says",
        f"gradlens compare {folder / LONG_TAILED} {folder / BALANCED}",
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
    assert results[0].accuracies == results[1].accuracies


def test_the_balanced_run_states_its_own_class_counts(demo):
    _, result, _ = demo
    assert Run(result.runs[BALANCED]).meta.class_counts == (35,) * 2 + (34,) * 8


def test_columns_of_the_table(demo):
    _, result, _ = demo
    run = Run(result.runs[DUAL])
    first, second = phases_of(DUAL, run)
    assert (first.title, first.training) == ("dual-phase I", None)
    assert (second.title, second.training) == ("dual-phase II", DUAL)
    assert first.samples("tail") == 0
    assert second.samples("tail") == 33 / 133
    assert np.isnan(first.mean(QUANTITIES["norm"], "tail"))
    assert second.distortion() == distortion_interval(run, start=8 * 10)
    assert first.distortion().measurable
    table = comparison([DemoColumn("all", DUAL, run, slice(None)), first, second], result.accuracies)
    assert table.row_count == 2 * 7 + 3
    assert list(table.columns[2].cells)[6] == "-"
