"""The page of one run: what was measured, and what happened."""

import numpy as np
import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from gradlens.runlog import Run
from tests.app.opened_pages import charts, decoded, opened, text
from tests.dashboard_runs import log
from tests.made_runs import make_run


def test_run_shows_what_was_measured(monkeypatch, folder):
    at = opened(monkeypatch, folder, "run", run="lt")
    run = Run(folder / "lt")
    assert set(charts(at)) == {"cosines", "shares", "norms", "conflicts"}
    at.selectbox(key="smooth").set_value("1").run()
    tail = next(t for t in charts(at)["cosines"]["data"] if t["name"] == "tail")
    np.testing.assert_allclose(decoded(tail["y"]), run.cosine("tail"), rtol=1e-6)
    at.button_group(key="show").set_value("facts").run()
    assert "train.py --seed 0" in text(at)
    assert "masked" in text(at)


def test_what_happened_in_a_run_is_listed_and_marked(monkeypatch, tmp_path):
    make_run(tmp_path / "run", steps=40)
    log(tmp_path / "run", kind="mark", step=10, text="warm-up over")
    log(tmp_path / "run", kind="lr-drop", step=20, factor=0.1)
    log(tmp_path / "run", kind="engine", step=25, engine="masked", reason="two terms share one backward")
    log(tmp_path / "run", kind="nonfinite", step=30, message="the loss is nan")
    log(tmp_path / "run", kind="epoch", step=30, loss=1.0)
    for step in range(13):
        log(tmp_path / "run", kind="left-out", step=step, message=f"no data in step {step}")
    at = opened(monkeypatch, tmp_path, "run")
    figure = charts(at)["cosines"]
    assert [s["x0"] for s in figure["layout"]["shapes"] if s["line"].get("dash") == "dot"] == [10, 20, 25, 30]
    texts = [a["text"].strip() for a in figure["layout"]["annotations"]]
    assert texts == ["warm-up over", "lr-drop: factor 0.1", "engine: masked", "the loss is nan"]
    at = opened(monkeypatch, tmp_path, "run", show="facts")
    page = text(at)
    assert "<td>lr-drop: factor 0.1</td>" in page
    assert "<td>engine: masked, reason two terms share one backward</td>" in page
    assert page.count("no data in step") == 13
    assert "epoch: " not in page


@pytest.mark.parametrize(("part", "keys"), [("fit", {"losses", "accuracies"}), ("update", {"update", "terms"})])
def test_other_parts_of_a_run(monkeypatch, folder, part, keys):
    assert set(charts(opened(monkeypatch, folder, "run", run="dual", show=part))) == keys


def test_what_the_training_logged_is_shown_beside_loss_and_accuracy(monkeypatch, tmp_path):
    make_run(tmp_path / "run", steps=4)
    log(tmp_path / "run", file="logged.jsonl", kind="logged", step=3, values={"val/loss": 0.5})
    at = opened(monkeypatch, tmp_path, "run", show="fit")
    assert set(charts(at)) == {"losses", "accuracies", "logged"}
    (line,) = charts(at)["logged"]["data"]
    assert (line["name"], decoded(line["y"]).tolist()) == ("val/loss", [0.5])


def test_evaluations_stand_below_loss_and_accuracy(monkeypatch, tmp_path):
    make_run(tmp_path / "run", steps=4)
    for step, overall in ((1, 60.0), (3, 50.0)):
        log(tmp_path / "run", kind="evaluation", step=step, epoch=step, split="test", overall=overall, ece=7.5)
    page = text(opened(monkeypatch, tmp_path, "run", show="fit"))
    for cell in ("test, last epoch (4)", "test, best epoch (2)", "calibration error (ECE)", "60.0", "50.0", "7.5"):
        assert cell in page
    assert "The best epoch so far is chosen on test itself" in page
