"""A page while its run grows, ends and is deleted."""

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from gradlens.groups import ClassGroups
from gradlens.runlog import Run, RunWriter
from tests.app.pages import charts, decoded, opened
from tests.made_runs import make_run


def test_a_live_run_grows_and_a_deleted_one_goes(monkeypatch, tmp_path):
    make_run(tmp_path / "other", steps=40)
    make_run(tmp_path / "live", steps=40)
    writer = RunWriter(tmp_path / "live", Run(tmp_path / "live").meta, resume=True)
    at = opened(monkeypatch, tmp_path, "run", run="live", smooth="1")
    assert at.toggle(key="live").value
    before = len(decoded(charts(at)["cosines"]["data"][0]["x"]))
    run = Run(tmp_path / "other")
    writer.append_many([_measurement(run, 40 + i) for i in range(10)])
    writer.flush()
    _look_again(at)
    assert len(decoded(charts(at)["cosines"]["data"][0]["x"])) == before + 10
    writer.close()
    _look_again(at)
    assert not at.toggle
    for file in (tmp_path / "live").iterdir():
        file.unlink()
    _look_again(at)
    assert "not any more" in at.warning[0].value
    assert at.selectbox(key="run").value == "other"


def test_the_stretch_of_a_live_run_that_was_picked_stays(monkeypatch, tmp_path):
    groups = ClassGroups.per_class(3)
    make_run(tmp_path / "live", steps=40, groups=groups)  # 20 stretches of 2 steps
    writer = RunWriter(tmp_path / "live", Run(tmp_path / "live").meta, resume=True)
    at = opened(monkeypatch, tmp_path, "classes")
    assert _stretch(at) == "38 to 39"
    run = Run(tmp_path / "live")
    writer.append_many([_measurement(run, 40)])
    writer.flush()
    _look_again(at)
    assert at.select_slider(key="at").options[-2:] == ["step 35", "latest"]
    assert _stretch(at) == "36 to 40"  # the latest, of 4 steps and the one that is not yet a stretch
    at.select_slider(key="at").set_value("11").run()
    assert _stretch(at) == "8 to 11"
    writer.append_many([_measurement(run, step) for step in range(41, 80)])
    writer.flush()
    _look_again(at)
    assert at.select_slider(key="at").options[-2:] == ["step 75", "latest"]
    assert _stretch(at) == "8 to 11"
    writer.append_many([_measurement(run, step) for step in range(80, 90)])
    writer.flush()
    _look_again(at)
    assert _stretch(at) == "8 to 15"  # two and two became one
    at.select_slider(key="at").set_value("latest").run()
    writer.append_many([_measurement(run, step) for step in range(90, 100)])
    writer.close()
    _look_again(at)
    assert _stretch(at) == "96 to 99"


def test_two_probes_of_one_step_are_told_apart(monkeypatch, tmp_path):
    groups = ClassGroups.per_class(3)
    run = make_run(tmp_path / "probed", steps=20, groups=groups)
    with RunWriter(tmp_path / "probed", run.meta, resume=True) as writer:
        for step, label in ((10, "train"), (10, "test"), (20, "train"), (20, "test")):
            m = _measurement(run, step)
            writer.probe(step, None, m.names, m.gram, None, m.counts, m.loss, m.correct, 0.1, groups.to_json(), label)
    for asked, shown in {
        "": "whole data at step 20, test",
        "latest": "whole data at step 20, test",
        "10": "whole data at step 10, train",
        "10.2": "whole data at step 10, test",
        "15": "whole data at step 20, train",
        "10.7": "whole data at step 10, train",
        "1000": "whole data at step 20, test",
        "<b>": "whole data at step 20, test",
    }.items():
        at = opened(monkeypatch, tmp_path, "classes", **({"at": asked} if asked else {}))
        assert charts(at)["cosines"]["layout"]["title"]["subtitle"]["text"].startswith(shown), asked


def _stretch(at):
    """Returns which steps the first figure is of."""
    return charts(at)["cosines"]["layout"]["title"]["subtitle"]["text"].split("batches of steps ")[1].split(" ·")[0]


def _look_again(at):
    """Runs the page once more, as the live refresh does, after the second within which a look counts as fresh."""
    import time

    from gradlens.runlog.reading import library

    time.sleep(library.FRESH_SECONDS)
    at.run()
    assert not at.exception, at.exception


def _measurement(run, step):
    from gradlens.metrics.measurement import Measurement

    return Measurement(
        step=step, time=run.time[0] + step, epoch=None, names=run.names, gram=run.gram()[0], layers=None, counts=run.counts[0],
        loss=run.loss[0], correct=run.correct[0], residual=0.0, total_loss=1.0, seconds=0.01,
    )  # fmt: skip
