"""The page of classes: which measurement it shows, and which classes pull against each other."""

import numpy as np
import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from gradlens.analysis.per_class import class_measurements
from gradlens.figures import ClassPair, conflicting_pairs
from gradlens.groups import ClassGroups
from gradlens.runlog import Run, RunWriter
from tests.app.opened_pages import charts, decoded, look_again, one_more, opened, text
from tests.made_runs import make_run


def test_the_stretch_of_a_live_run_that_was_picked_stays(monkeypatch, tmp_path):
    groups = ClassGroups.per_class(3)
    make_run(tmp_path / "live", steps=40, groups=groups)  # 20 stretches of 2 steps
    writer = RunWriter(tmp_path / "live", Run(tmp_path / "live").meta, resume=True)
    at = opened(monkeypatch, tmp_path, "classes")
    assert _stretch(at) == "38 to 39"
    run = Run(tmp_path / "live")
    writer.append_many([one_more(run, 40)])
    writer.flush()
    look_again(at)
    assert at.select_slider(key="at").options[-2:] == ["step 35", "latest"]
    assert _stretch(at) == "36 to 40"  # the latest, of 4 steps and the one that is not yet a stretch
    at.select_slider(key="at").set_value("11").run()
    assert _stretch(at) == "8 to 11"
    writer.append_many([one_more(run, step) for step in range(41, 80)])
    writer.flush()
    look_again(at)
    assert at.select_slider(key="at").options[-2:] == ["step 75", "latest"]
    assert _stretch(at) == "8 to 11"
    writer.append_many([one_more(run, step) for step in range(80, 90)])
    writer.flush()
    look_again(at)
    assert _stretch(at) == "8 to 15"  # two and two became one
    at.select_slider(key="at").set_value("latest").run()
    writer.append_many([one_more(run, step) for step in range(90, 100)])
    writer.close()
    look_again(at)
    assert _stretch(at) == "96 to 99"


def test_two_probes_of_one_step_are_told_apart(monkeypatch, tmp_path):
    groups = ClassGroups.per_class(3)
    run = make_run(tmp_path / "probed", steps=20, groups=groups)
    with RunWriter(tmp_path / "probed", run.meta, resume=True) as writer:
        for step, label in ((10, "train"), (10, "test"), (20, "train"), (20, "test")):
            m = one_more(run, step)
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


def test_classes_of_a_run_with_a_group_a_class(monkeypatch, folder):
    at = opened(monkeypatch, folder, "classes")
    assert at.selectbox(key="run").value == "classes"
    measured = class_measurements(Run(folder / "classes"))
    slider = at.select_slider(key="at")
    assert len(slider.options) == len(measured) == 13  # of 16 steps each, but for the last
    assert slider.options[-2:] == ["step 191", "latest"]
    for figure in charts(at).values():  # no probe was made: these are means of what was trained on
        assert figure["layout"]["title"]["subtitle"]["text"].startswith(
            "mean of the training batches of steps 192 to 199 ·"
        )
    assert conflicting_pairs(measured[-1])[0].cosine > 0
    assert "No two classes pull against each other" in text(at)
    pairs = [ClassPair("a", "b", (5, 5), -0.25), ClassPair("a", "c", (5, 5), 0.5)]
    monkeypatch.setattr("gradlens.figures.conflicting_pairs", lambda probe: pairs)
    page = text(opened(monkeypatch, folder, "classes"))
    assert "<td>a (5)</td><td>b (5)</td>" in page
    assert "c (5)" not in page  # which pull together
    heat = next(t for t in charts(at)["cosines"]["data"] if t["type"] == "heatmap")
    np.testing.assert_allclose(np.diag(decoded(heat["z"]).reshape(6, 6)), 1, rtol=1e-5)
