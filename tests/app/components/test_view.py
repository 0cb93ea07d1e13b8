"""The zoom of a figure, as the address says it."""

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from gradlens_dashboard.components import view


@pytest.mark.parametrize(
    ("said", "window"),
    [
        ([], None),
        (["x 50 99.5"], (50, 99.5)),
        (["y -1 0.5", "x2 1 2"], (1, 2)),  # the second panel has the same steps
        (["x 5 5", "x 1 nan", "x inf 2", "x one two", "x 1", "x 1 2 3", "", "x 3 4"], (3, 4)),
        (["z 1 2", "y 1 2"], None),
        (["x 9 1"], (9, 1)),
    ],
)
def test_the_first_horizontal_axis_that_can_be_counts(monkeypatch, said, window):
    monkeypatch.setattr(view, "asked", lambda key: said if key == "zoom.cosines" else ["x 7 8"])
    assert view.window("cosines") == window
    assert view.window("norms") == (7, 8)
