"""The phases of a run beside each other: which steps each has, and how much the last differs from the first."""

import pytest

from gradlens.analysis.phase_story import phase_story, stretches
from gradlens.runlog import Run
from tests.analysis.plane_runs import write
from tests.dashboard_runs import phases


@pytest.fixture
def run(tmp_path):
    """40 steps in which the tail has 1 / 10 of the update, then 40 in which it has half."""
    write(tmp_path / "dual", [3] * 40 + [1] * 40, [1] * 80)
    phases(tmp_path / "dual", I=0, II=40, III=500)
    return Run(tmp_path / "dual")


def test_each_phase_with_measured_steps_is_a_stretch(run, tmp_path):
    found = stretches(run)
    assert [(s.title, s.span) for s in found] == [("dual, phase I", (0, 40)), ("dual, phase II", (40, 80))]
    baseline = write(tmp_path / "base", [2] * 10, [1] * 10)
    assert next(s.title for s in stretches(run, baseline)) == "base"
    assert stretches(run, baseline)[0].span == (0, 10)
    assert [s.title for s in stretches(run, write(tmp_path / "empty", [], []))] == [s.title for s in found]


def test_means_and_changes_worked_by_hand(run):
    rows = {(row.group, row.quantity): row for row in phase_story(stretches(run), run.groups.names)}
    share = next(
        row for (group, title), row in rows.items() if group == "tail" and title.startswith("share of the update")
    )
    assert [mean.value for mean in share.means] == pytest.approx([0.1, 0.5])
    assert share.change.value == pytest.approx(0.4)
    assert share.percent
    assert share.intervals == (*share.means, share.change)
    norm = next(row for (group, title), row in rows.items() if group == "head" and title == "norm of the contribution")
    assert [mean.value for mean in norm.means] == pytest.approx([3, 1])
    assert norm.change.value == pytest.approx(-2)
    last = list(rows.values())[-1]
    # 70 and 30 classes: |0.9 - 0.7| and |0.5 - 0.7|
    assert last.group == ""
    assert [mean.value for mean in last.means] == pytest.approx([0.2, 0.2])
    assert last.change.value == pytest.approx(0, abs=1e-9)


def test_a_change_is_clear_where_its_interval_leaves_out_zero(tmp_path):
    write(tmp_path / "noisy", [3, 1] * 120, [1, 2] * 120)
    phases(tmp_path / "noisy", I=0, II=120)
    noisy = Run(tmp_path / "noisy")
    assert not any(row.clear for row in phase_story(stretches(noisy), noisy.groups.names))
    steps = [2.0, 2.1, 1.9, 2.05] * 30
    write(tmp_path / "clear", [*steps, *(x + 3 for x in steps)], [1] * 240)
    phases(tmp_path / "clear", I=0, II=120)
    clear = Run(tmp_path / "clear")
    changed = {(r.group, r.quantity) for r in phase_story(stretches(clear), clear.groups.names) if r.clear}
    assert ("head", "norm of the contribution") in changed
    assert ("tail", "norm of the contribution") not in changed
