"""The runs of a folder with their rows: what is read at each look, and what is not."""

import shutil
import time

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from gradlens.analysis import kept_overview
from gradlens.analysis.distortion import distortion
from gradlens.runlog import Run, RunError, RunWriter
from gradlens_dashboard.components.shelf import Shelves
from tests.app.opened_pages import one_more, opened, text
from tests.made_runs import make_run
from tests.rows_read import rows_read

NAMES = ("a", "b", "c", "d")


@pytest.fixture
def read(monkeypatch):
    """The names of the runs whose rows were read since."""
    return rows_read(monkeypatch)


@pytest.fixture
def folder(tmp_path):
    """Runs whose rows are kept."""
    for seed, name in enumerate(NAMES):
        make_run(tmp_path / name, steps=60, seed=seed)
    time.sleep(3 * kept_overview.TICK_SECONDS)
    kept_overview.overviews(tmp_path)
    return tmp_path


def test_a_new_server_reads_no_rows_of_runs_whose_rows_are_kept(folder, read):
    shelf = Shelves(folder).look()
    assert list(shelf.rows) == list(shelf.runs) == list(NAMES)
    assert read == []
    assert shelf.rows["b"].headline.distortion.value == distortion(Run(folder / "b"))


def test_a_look_with_nothing_new_is_the_same_shelf(folder, read):
    shelves = Shelves(folder)
    first = shelves.look(now=True)
    assert shelves.look(now=True) is first
    make_run(folder / "e", steps=60)
    second = shelves.look(now=True)
    assert list(second.rows) == [*NAMES, "e"]
    assert second.number != first.number
    assert all(second.rows[name] is first.rows[name] for name in NAMES)
    shutil.rmtree(folder / "a")
    assert list(shelves.look(now=True).rows) == ["b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("page", "query", "opens"), [("run", {"run": "c"}, {"c"}), ("compare", {"runs": ["a", "c"]}, {"a", "c"})]
)
def test_a_page_opens_the_runs_that_it_shows(monkeypatch, folder, read, page, query, opens):
    opened(monkeypatch, folder, page, **query)
    assert set(read) == opens


def test_runs_without_kept_rows_are_read_for_a_while_at_a_look(tmp_path):
    for name in NAMES:
        make_run(tmp_path / name, steps=60)
    shelves = Shelves(tmp_path)
    seen = [shelves.look(0.0, now=True) for _ in range(8)]
    assert [len(shelf.rows) + shelf.waiting for shelf in seen] == [4] * 8
    assert [shelf.waiting for shelf in seen] == [3, 2, 1, 0, 0, 0, 0, 0]
    assert Shelves(tmp_path).look().waiting == 0


def test_the_page_says_that_runs_wait(monkeypatch, tmp_path):
    for name in NAMES:
        make_run(tmp_path / name, steps=60)
    real = Shelves.look
    monkeypatch.setattr(Shelves, "look", lambda self, seconds=None, **more: real(self, 0.0, **more))
    at = opened(monkeypatch, tmp_path, "runs")
    assert len(at.dataframe[0].value) == 1
    assert "1 of 4 runs are read; the others follow." in text(at)


def test_the_row_of_a_live_run_follows_it(tmp_path):
    run = make_run(tmp_path / "live", steps=200, status=None)
    shelves = Shelves(tmp_path)
    first = shelves.look(now=True).rows["live"]
    assert (first.state, first.measured) == ("running", 200)
    assert shelves.look(now=True).rows["live"] is first
    writer = RunWriter(tmp_path / "live", run.meta, resume=True)
    writer.append(one_more(run, 200))
    writer.flush()
    second = shelves.look(now=True).rows["live"]
    assert (second.measured, second.steps) == (201, 201)
    assert second.headline == first.headline, "by 1 % it is not computed again"
    writer.append_many([one_more(run, 201 + i) for i in range(20)])
    writer.flush()
    assert shelves.look(now=True).rows["live"].headline.distortion.value == distortion(Run(tmp_path / "live"))
    writer.close("failed", "because")
    third = shelves.look(now=True).rows["live"]
    assert (third.state, third.reason, third.measured) == ("failed", "because", 221)


def test_a_run_that_breaks_is_told(folder):
    shelves = Shelves(folder)
    shelves.look(now=True)
    (folder / "b" / "run.json").write_text("{")
    (folder / "b" / "measurements-000.arrows").unlink()
    shelf = shelves.look(now=True)
    assert list(shelf.runs) == ["a", "c", "d"]
    assert "is damaged" in shelf.broken["b"]
    with pytest.raises(KeyError):
        shelf.runs["b"]
    with pytest.raises(RunError, match="is no folder"):
        Shelves(folder / "gone").look()
