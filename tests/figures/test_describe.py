"""Texts that say which of many groups a figure shows."""

import pytest

from gradlens import figures
from gradlens.figures import _describe as describe
from gradlens.groups import ClassGroups
from tests.figures.pair import subtitle
from tests.made_runs import make_run


@pytest.mark.parametrize(
    "draw",
    [
        lambda run: figures.layer_curves(run, run.layers[0]),
        figures.losses,
        figures.accuracies,
        figures.update_cosines,
    ],
)
def test_of_many_groups_some_from_head_to_tail_have_lines(tmp_path, draw):
    run = make_run(tmp_path / "classes", steps=5, groups=ClassGroups.per_class(15), layers=2, update=True)
    figure = draw(run)
    assert "8 of 15 groups, from the first to the last" in subtitle(figure)
    shown = [t.name for t in figure.data if t.showlegend and t.name in run.groups.names]
    assert shown == ["0", "2", "4", "6", "8", "10", "12", "14"]
    few = make_run(tmp_path / "few", steps=5, layers=2, update=True)
    assert "groups" not in subtitle(draw(few))


def test_a_long_subtitle_goes_on_in_a_second_line():
    assert describe.subtitle("a" * 60, "", "b" * 60) == f"{'a' * 60} · {'b' * 60}"
    assert describe.subtitle("a" * 60, "b" * 80, "c") == f"{'a' * 60} ·<br>{'b' * 80} · c"
