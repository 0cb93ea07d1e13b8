"""The page of runs: small curves on one scale, and what `gradlens ls` says of damaged runs."""

import json
import re
import shutil

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from gradlens.analysis.distortion import distortion_interval
from gradlens.analysis.kept_overview import overviews
from gradlens.analysis.overview import overview
from gradlens.analysis.run_query import with_cards
from gradlens.groups import ClassGroups
from gradlens.reports.listing import runs_text
from gradlens.runlog import Run, RunWriter
from tests.app.opened_pages import opened, text
from tests.dashboard_runs import make_folder, phases, rewrite
from tests.made_runs import make_run


def scale(at):
    """Returns the lowest and highest value of the small curves, and what the column's help says."""
    column = json.loads(at.dataframe[0].proto.columns)["course"]
    return column["type_config"]["y_min"], column["type_config"]["y_max"], column["help"]


def test_small_curves_share_one_scale_and_say_it(monkeypatch, tmp_path):
    make_run(tmp_path / "low", weights=(1.0, 1.0))
    make_run(tmp_path / "high", weights=(1.0, 0.05), noise=(0.01, 0.01))
    high = max(overview(Run(tmp_path / "high")).sparks)
    low = max(overview(Run(tmp_path / "low")).sparks)
    assert 0.2 < high < 0.3
    assert 0 < low < 0.09
    lowest, highest, words = scale(opened(monkeypatch, tmp_path, "runs"))
    assert (lowest, highest) == (0, 0.3)
    assert "all runs shown have one scale, from 0 to 0.3" in words
    alone = scale(opened(monkeypatch, tmp_path, "runs", search="low"))[1]  # of the runs that are shown
    assert low <= alone < 0.1


def test_the_scale_of_runs_without_distortion(monkeypatch, tmp_path):
    make_run(tmp_path / "empty", steps=0)
    assert scale(opened(monkeypatch, tmp_path, "runs"))[:2] == (0, 1)


@pytest.fixture
def damaged(tmp_path):
    """A whole run, and one of each kind of damage; of kinds that every page shows."""
    for name in ("whole", *SAID):
        make_run(tmp_path / name, steps=100, groups=ClassGroups.per_class(3), weights=(1.0, 0.5, 0.1))
        phases(tmp_path / name, I=0, II=50)
    log = tmp_path / "torn" / "measurements-000.arrows"
    log.write_bytes(log.read_bytes()[:-777])
    shutil.copy(tmp_path / "whole" / "measurements-000.arrows", tmp_path / "foreign" / "measurements-001.arrows")
    rewrite(tmp_path / "lossy", extra={"lost": {"rows": 54, "cause": "[Errno 28] No space left on device"}})
    return tmp_path


SAID = {
    "torn": "bytes at the end are damaged and left out, with the last",  # how many depends on when it was flushed
    "foreign": "measurements-001.arrows belongs to another run; its rows are left out",
    "lossy": "100 of 154 measured steps were written, 54 lost: [Errno 28] No space left on device",
}


def test_a_damaged_run_says_so_as_the_terminal_does(monkeypatch, damaged):
    terminal = runs_text(*with_cards(overviews(damaged)), width=250)
    at = opened(monkeypatch, damaged, "runs")
    status = at.dataframe[0].value.set_index("run")["status"]
    assert status["whole"] == "finished"
    for name, said in SAID.items():
        assert status[name] == "⚠ finished"
        assert re.search(rf"<td>{name}</td><td>[^<]*{re.escape(said)}", text(at))
        assert said[:90] in terminal
    (table,) = [e.proto.body for e in at.get("html") if "what is missing or was changed" in e.proto.body]
    assert table.count("<tr><td>") == len(SAID)
    help_ = json.loads(at.dataframe[0].proto.columns)["status"]["help"]
    assert "⚠: damaged or not complete" in help_
    assert list(opened(monkeypatch, damaged, "runs", search="⚠").dataframe[0].value["run"]) == sorted(SAID)
    assert "Damaged" not in text(opened(monkeypatch, damaged, "runs", search="whole"))


@pytest.mark.parametrize("page", ["run", "figure1", "dual-phase", "compare", "classes"])
def test_every_other_page_says_what_is_damaged(monkeypatch, damaged, page):
    for name in SAID:
        query = {"compare": {"runs": [name, "whole"]}, "figure1": {"lt": name, "balanced": "whole"}}
        part = {"part": page} if page in ("figure1", "dual-phase") else {}
        at = opened(monkeypatch, damaged, "paper" if part else page, **part, **query.get(page, {"run": name}))
        assert SAID[name] in "\n".join(w.value for w in at.warning).replace("\\", "")


def test_a_distortion_of_few_steps_is_marked_as_in_the_terminal(monkeypatch, tmp_path):
    make_run(tmp_path / "short", steps=6)
    make_run(tmp_path / "long", steps=60)
    table = opened(monkeypatch, tmp_path, "runs").dataframe[0].value
    assert table.set_index("run")["status"].str.startswith("~").to_dict() == {"short": True, "long": False}


def test_distortions_stand_with_their_intervals(monkeypatch, tmp_path):
    groups = ClassGroups({"many": range(35), "medium": range(35, 70), "few": range(70, 100)}, 100)
    run = make_run(tmp_path / "long", groups=groups, weights=(1.0, 0.6, 0.2), noise=(0.3,))
    make_run(tmp_path / "short", groups=groups, steps=20)
    low, value, high = (getattr(distortion_interval(run), name) for name in ("low", "value", "high"))
    assert low < value < high
    at = opened(monkeypatch, tmp_path, "runs")
    row = at.dataframe[0].value.set_index("run").loc["long"]
    assert (row["distortion"], row["interval"]) == (value, f"[{low:.3f}, {high:.3f}]")
    assert at.dataframe[0].value.set_index("run").loc["short", "interval"] == ""
    assert re.search("<td>short</td><td>distortion: 20 measured steps can be used", text(at))
    assert "<td>long</td>" not in text(at)
    page = text(opened(monkeypatch, tmp_path, "run", run="long")).replace("\\", "")
    assert f"{value:.3f} [{low:.3f}, {high:.3f}]" in page
    page = text(opened(monkeypatch, tmp_path, "run", run="short")).replace("\\", "")
    assert "Without an interval: distortion: 20 measured steps can be used; an interval needs 53" in page


def test_runs_lists_live_ones_first_and_says_why_others_are_broken(monkeypatch, tmp_path):
    make_folder(tmp_path)
    make_run(tmp_path / "training", steps=30)
    writer = RunWriter(tmp_path / "training", Run(tmp_path / "training").meta, resume=True)
    at = opened(monkeypatch, tmp_path, "runs")
    writer.close()
    table = at.dataframe[0].value.set_index("run")
    assert next(iter(table.index)) == "training"
    assert "live" in table.loc["training", "status"]
    assert table.loc["failed", "status"] == "failed"
    assert list(table.index[1:4]) == ["dual", "lt", "balanced"]  # the latest first
    assert table.loc["dual", "measured"] == 200
    assert table.loc["dual", "accuracy"] == pytest.approx((160 + 55) / 3)
    from gradlens import distortion

    assert table.loc["lt", "distortion"] == pytest.approx(distortion(Run(tmp_path / "lt")))
    assert len(table.loc["lt", "course"]) == 32
    page = text(at)
    assert "<td>failed</td><td>failed</td><td>ValueError: loss is NaN</td>" in page
    assert "damaged" in page
    assert "reads versions up to 1" in page
    assert "&lt;b&gt;" in page or "<b>" not in page
    assert "notes" not in table.index


def test_search_finds_by_name_method_and_data(monkeypatch, folder):
    assert list(opened(monkeypatch, folder, "runs", search="dual-phase DIGITS").dataframe[0].value["run"]) == ["dual"]
    at = opened(monkeypatch, folder, "runs", search="nothing like it")
    assert not at.dataframe
    assert "No run matches" in text(at)
