"""A page while its run grows, ends and is deleted."""

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from gradlens.runlog import Run, RunWriter
from tests.app.opened_pages import charts, decoded, look_again, one_more, opened
from tests.made_runs import make_run


def test_a_live_run_grows_and_a_deleted_one_goes(monkeypatch, tmp_path):
    make_run(tmp_path / "other", steps=40)
    make_run(tmp_path / "live", steps=40)
    writer = RunWriter(tmp_path / "live", Run(tmp_path / "live").meta, resume=True)
    at = opened(monkeypatch, tmp_path, "run", run="live", smooth="1")
    assert at.toggle(key="live").value
    before = len(decoded(charts(at)["cosines"]["data"][0]["x"]))
    run = Run(tmp_path / "other")
    writer.append_many([one_more(run, 40 + i) for i in range(10)])
    writer.flush()
    look_again(at)
    assert len(decoded(charts(at)["cosines"]["data"][0]["x"])) == before + 10
    writer.close()
    look_again(at)
    assert not at.toggle
    for file in (tmp_path / "live").iterdir():
        file.unlink()
    look_again(at)
    assert "not any more" in at.warning[0].value
    assert at.selectbox(key="run").value == "other"
