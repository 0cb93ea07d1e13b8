"""The table at the end of a tracked training."""

import re
from html import unescape

import numpy as np
import pytest

from gradlens.analysis.distortion import distortion, distortion_interval
from gradlens.analysis.headline import two_groups_text
from gradlens.analysis.overview import overview
from gradlens.analysis.quantities import filled_share
from gradlens.analysis.run_query import with_cards
from gradlens.groups import ClassGroups
from gradlens.metrics.measurement import Measurement
from gradlens.reports.html import render
from gradlens.reports.listing import runs_text
from gradlens.reports.summary import summary_table
from gradlens.runlog import Run, RunMeta, RunWriter
from tests.made_runs import make_pair, make_run
from tests.reports.printed import printed


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return make_pair(tmp_path_factory.mktemp("runs"))


def test_the_summary_of_a_run(runs):
    text = printed(summary_table(runs[0]))
    assert f"{np.nanmean(runs[0].cosine('tail')):.3f}" in text
    assert f"{runs[0].counts.sum(0)[1] / runs[0].counts.sum():.1%}" in text
    assert f"distortion {distortion(runs[0]):.3f}" in text
    assert "mean norm: size of the group's own mean gradient, norm x batch / its samples" in text
    assert "4.8% of the training time" in " ".join(text.split())
    assert "10 ms a measured step" in " ".join(printed(summary_table(runs[1])).split())


def test_the_summary_counts_all_steps_and_shows_what_is_in_no_group(tmp_path):
    run = make_run(tmp_path / "short", steps=3, every=10, meta={"extra": {"steps": 272}})
    text = " ".join(printed(summary_table(run)).split())
    assert "measured 3 of 272 steps, too few for means; --every 1 measures more" in text
    title = "Whose gradient did the model follow? measured 3 of 272 steps, too few for means"
    assert text.startswith(title), "said before any mean"
    assert text.count("measured 3 of 272") == 1
    assert "rest (no group)" not in text
    names = ("head", "tail", "rest")
    gram = np.diag([4.0, 1.0, 5.0])
    writer = RunWriter(
        tmp_path / "rest",
        RunMeta(groups=ClassGroups({"head": range(70), "tail": range(70, 100)}, 100).to_json(), names=names),
    )
    for step in range(12):
        writer.append(
            Measurement(
                step=step, time=0.0, epoch=0, names=names, gram=gram, layers=None, counts=np.ones(2), loss=np.ones(2),
                correct=np.ones(2), residual=0.0, total_loss=1.0, seconds=0.1,
            )
        )  # fmt: skip
    writer.close()
    text = " ".join(printed(summary_table(Run(tmp_path / "rest"))).split())
    # <rest, g> / <g, g> = 5 / 10; <rest, g> / (|rest| |g|) = 5 / sqrt(5 * 10)
    assert "rest (no group) 50.0% 0.707 2.236" in text
    assert "rest: samples without a label of a group (ignored, or with no label at all), and what goes around" in text
    assert "a loss on other outputs counts for its groups once gradlens.observe(outputs, labels) names each" in text
    assert "measured 12 of 12 steps" in text
    assert "too few" not in text


def test_with_two_groups_the_last_ones_share_stands_beside_its_samples_and_classes(runs):
    share = filled_share(runs[0], "tail").mean()
    counts = runs[0].counts.sum(0)
    says = " ".join(printed(summary_table(runs[0])).split())
    beside = f"of the update, {counts[1] / counts.sum():.1%} of the samples, 30.0% of the classes"
    assert re.search(rf"tail: {share:.1%} \[\S+%, \S+%\] {beside}: {100 * (0.3 - share):.1f} points below its", says)
    listed = " ".join(runs_text(*with_cards([(runs[0].path, overview(runs[0]))]), width=400).split())
    assert two_groups_text(runs[0]) in listed
    assert two_groups_text(runs[0]) in unescape(render([runs[0]]))


def test_the_summary_marks_groups_with_classes_that_the_model_has_no_output_for(tmp_path):
    groups = ClassGroups({"head": range(7), "tail": range(7, 10), "new": range(10, 12)}, 12)
    run = make_run(tmp_path / "run", groups=groups, weights=(1.0, 0.2, 0.1), meta={"extra": {"outputs": 9}})
    text = printed(summary_table(run))
    marked = [line.split()[:2] for line in text.splitlines() if re.match(" ?(head|tail|new) ", line)]
    assert [(name, mark == "*") for name, mark in marked] == [("head", False), ("tail", True), ("new", True)]
    said = "*: the model has 9 outputs, so 1 of 3 classes of tail, 2 of 2 classes of new cannot occur"
    assert said in " ".join(text.split())


def test_the_summary_gives_the_interval_of_the_distortion_or_says_why_there_is_none(tmp_path):
    groups = ClassGroups.per_class(4)
    run = make_run(tmp_path / "long", groups=groups, weights=(1.0, 0.6, 0.3, 0.1), noise=(0.3,))
    found = distortion_interval(run)
    assert f"distortion {found.value:.3f} [{found.low:.3f}, {found.high:.3f}] (0 = none)" in printed(summary_table(run))
    short = printed(summary_table(make_run(tmp_path / "short", groups=groups, steps=20, noise=(0.3,))))
    why = "Without an interval: distortion: 20 measured steps can be used; an interval needs 53."
    assert why in " ".join(short.split())
