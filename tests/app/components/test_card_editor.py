"""Titles, tags, notes and places of runs, as viewers change them; each change can be taken back."""

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from gradlens.runlog import Run
from gradlens.runlog.format.card import Card, read_card, write_card
from gradlens.runlog.format.run_stamp import stamp_of
from tests.app.opened_pages import charts, opened, text
from tests.made_runs import make_run


@pytest.fixture
def folder(tmp_path):
    for seed, name in enumerate(("a", "b", "c")):
        make_run(tmp_path / name, steps=30, seed=seed, meta={"hyperparameters": {"lr": 0.1 * (3 - seed), "same": 1}})
    return tmp_path


def names(at):
    return sorted(at.dataframe[0].value["run"]) if at.dataframe else []


def test_an_archived_run_leaves_the_list_and_comes_back(monkeypatch, folder):
    before = stamp_of(folder / "a")
    at = opened(monkeypatch, folder, "runs", pick=["a", "b"])
    at.button(key="card:archived").click().run()
    assert names(at) == ["c"]
    assert "2 runs: archived." in text(at)
    assert stamp_of(folder / "a") == before, "what was recorded is not touched"
    (undo,) = [button for button in at.button if button.label == "Undo"]
    undo.click().run()
    assert names(at) == ["a", "b", "c"]
    assert read_card(folder / "a") == Card()


def test_archived_and_deleted_runs_are_shown_where_they_are(monkeypatch, folder):
    write_card(folder / "a", Card(place="archived"))
    write_card(folder / "b", Card(place="deleted"))
    assert names(opened(monkeypatch, folder, "runs")) == ["c"]
    assert names(opened(monkeypatch, folder, "runs", show="archived")) == ["a"]
    at = opened(monkeypatch, folder, "runs", show="deleted", pick="b")
    at.button(key="card:list").click().run()
    assert read_card(folder / "b").place == ""
    assert list(opened(monkeypatch, folder, "compare").dataframe[0].value["run"]) == ["b", "c"]
    assert opened(monkeypatch, folder, "run", run="a").selectbox(key="run").value == "a", "a link to it still works"


def test_a_title_is_shown_everywhere(monkeypatch, folder):
    at = opened(monkeypatch, folder, "runs", pick="a")
    at.text_input(key="card:a:title").set_value("The *long* run")
    at.text_input(key="card:a:tags").set_value("paper, seed study,")
    at.text_area(key="card:a:note").set_value("tried again")
    (save,) = [button for button in at.button if button.label == "Save"]
    save.click().run()
    assert read_card(folder / "a") == Card("The *long* run", ("paper", "seed study"), "tried again")
    assert names(at) == ["The *long* run", "b", "c"]
    table = opened(monkeypatch, folder, "runs").dataframe[0].value.set_index("run")
    assert tuple(table.loc["The *long* run", ["more tag", "more note"]]) == ("paper,seed study", "tried again")
    assert Run(folder / "a").name == "The *long* run"
    figure = charts(opened(monkeypatch, folder, "compare", runs=["a", "b"]))["distortion"]
    assert {"The *long* run", "b"} <= {trace["name"] for trace in figure["data"]}
    assert names(opened(monkeypatch, folder, "runs", search="tag=paper")) == ["The *long* run"]


def test_the_table_is_sorted_and_filtered_by_the_address(monkeypatch, folder):
    at = opened(monkeypatch, folder, "runs", sort="lr", order="down")
    assert list(at.dataframe[0].value["run"]) == ["a", "b", "c"]
    assert list(opened(monkeypatch, folder, "runs", sort="lr").dataframe[0].value["run"]) == ["c", "b", "a"]
    assert names(opened(monkeypatch, folder, "runs", search="lr>0.15 seed!=0")) == ["b"]
    assert "No run here has 'lrr'; did you mean lr?" in text(
        opened(monkeypatch, folder, "runs", search="lrr>1")
    ).replace("\\", "")


def test_hyper_parameters_that_differ_have_columns(monkeypatch, folder):
    at = opened(monkeypatch, folder, "runs")
    assert at.multiselect(key="columns").value == ["lr"]
    assert list(at.dataframe[0].value.set_index("run").loc["a", ["more lr"]]) == ["0.30000000000000004"]
    columns = opened(monkeypatch, folder, "runs", columns=["same"]).dataframe[0].value.columns
    assert "more same" in columns
    assert "more lr" not in columns


def test_a_card_that_cannot_be_written_is_said(monkeypatch, folder):
    at = opened(monkeypatch, folder, "runs", pick="a")

    def refused(*_):
        from gradlens.runlog import RunError

        raise RunError("cannot write it; make the folder writable")

    monkeypatch.setattr("gradlens_dashboard.components.card_editor.write_card", refused)
    at.button(key="card:archived").click().run()
    assert "cannot write it" in at.error[0].value.replace("\\", "")
    assert names(at) == ["a", "b", "c"]
