"""The address of a page: it opens the same view, and what it cannot hold is left out."""

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from tests.app.opened_pages import charts, decoded, opened


def test_the_address_opens_the_same_view(monkeypatch, folder):
    at = opened(monkeypatch, folder, "run", run="dual", x="epoch", smooth="20", norm="mean")
    assert at.selectbox(key="run").value == "dual"
    assert charts(at)["cosines"]["layout"]["xaxis"]["title"]["text"] == "epoch"
    assert "mean of 20 measured steps" in charts(at)["cosines"]["layout"]["title"]["subtitle"]["text"]
    assert "mean gradient" in charts(at)["norms"]["layout"]["title"]["subtitle"]["text"]


def test_zoom_in_the_address(monkeypatch, folder):
    at = opened(
        monkeypatch, folder, "run", run="lt", **{"zoom.cosines": ["x 50 99.5", "y -1 0.5"], "hide.cosines": "tail"}
    )
    x = decoded(charts(at)["cosines"]["data"][0]["x"])
    assert (x.min(), x.max()) == (49, 100)  # one step beyond either end, so that lines run out of the picture
    assert decoded(charts(at)["norms"]["data"][0]["x"]).max() == 199
    at.button_group(key="x").set_value("time").run()  # another axis: the old ends mean nothing on it
    assert not at.exception
    assert len(decoded(charts(at)["cosines"]["data"][0]["x"])) == 200


@pytest.mark.parametrize("zoom", ["x 50", "x 50 nan", "x inf 5", "x 5 5", "z 1 2", "x a b", "", "x 1 2 3"])
def test_a_zoom_that_cannot_be_is_left_out(monkeypatch, folder, zoom):
    at = opened(monkeypatch, folder, "run", run="lt", **{"zoom.cosines": zoom})
    assert len(decoded(charts(at)["cosines"]["data"][0]["x"])) == 200


def test_an_address_with_a_run_that_is_not_there(monkeypatch, folder):
    at = opened(monkeypatch, folder, "run", run="<b>nope</b>")
    assert "cannot be shown" in at.warning[0].value
    assert "<b>" not in at.warning[0].value.replace("\\<b\\>", "")
    at = opened(monkeypatch, folder, "run", run="future")
    assert "update gradlens" in at.warning[0].value
    assert charts(at)
