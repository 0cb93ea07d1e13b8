"""The runs that pages share: one that cannot be shown leaves the others."""

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from tests.app.opened_pages import EVERY, opened, text
from tests.made_runs import make_run


@pytest.mark.parametrize("part", ["overview", "incomplete_texts", "nonfinite_text"])
def test_a_run_that_cannot_be_shown_leaves_the_others(monkeypatch, tmp_path, part):
    for name in ("bad", "good"):
        make_run(tmp_path / name, steps=20)
    from gradlens.analysis import overview

    real = getattr(overview, part)

    def failing(run):
        if run.name == "bad":
            raise KeyError("no <b>such</b> thing")
        return real(run)

    monkeypatch.setattr(overview, part, failing)
    at = opened(monkeypatch, tmp_path, "runs")
    assert list(at.dataframe[0].value["run"]) == ["good"]
    said = "it cannot be shown: KeyError: &#x27;no &lt;b&gt;such&lt;/b&gt; thing&#x27;"
    assert f"<td>bad</td><td>{said}</td>" in text(at)


@pytest.mark.parametrize("page", EVERY)
def test_a_folder_that_is_not_there(monkeypatch, tmp_path, page):
    at = opened(monkeypatch, tmp_path / "gone", page)
    assert "is no folder" in at.error[0].value
