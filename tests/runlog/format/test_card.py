"""What people write about a run: it stands beside the run's files, survives damage, and changes nothing else."""

import os

import pytest

from gradlens.runlog import Run, RunError
from gradlens.runlog.format.card import FILE, MOST_TAGS, MOST_TITLE, Card, read_card, write_card
from gradlens.runlog.format.run_stamp import stamp_of
from tests.made_runs import make_run


def test_a_card_is_read_back_as_it_was_written(tmp_path):
    assert read_card(tmp_path) == Card()
    write_card(
        tmp_path, Card(" The  long run ", ("paper", " ", "two  words", "paper"), "\nline one\nline two\n", "archived")
    )
    assert read_card(tmp_path) == Card("The long run", ("paper", "two words"), "line one\nline two", "archived")
    assert not read_card(tmp_path).listed
    write_card(tmp_path, Card())
    assert read_card(tmp_path) == Card()
    assert os.listdir(tmp_path) == [FILE], "no temporary file is left"


def test_what_was_recorded_is_not_touched(tmp_path):
    run = make_run(tmp_path / "run", steps=20)
    before = stamp_of(run.path)
    write_card(run.path, Card("title", note="note", place="deleted"))
    assert stamp_of(run.path) == before
    assert not Run(run.path).warnings


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": "other"}', '{"format": "gradlens-card", "title": 1}', "[" * 100_000, "\udcff"]
)
def test_a_damaged_card_is_said(tmp_path, text):
    (tmp_path / FILE).write_bytes(text.encode("utf-8", "surrogateescape"))
    card = read_card(tmp_path)
    assert card.problem == f"{FILE} is damaged; its title, tags and note are not shown"
    assert (card.title, card.tags, card.note, card.listed) == ("", (), "", True)


def test_a_card_that_is_no_file_or_too_large(tmp_path):
    (tmp_path / FILE).mkdir()
    assert "cannot be read: it is no regular file" in read_card(tmp_path).problem
    (tmp_path / FILE).rmdir()
    (tmp_path / FILE).write_bytes(b" " * (1 << 20))
    assert "cannot be read" in read_card(tmp_path).problem


def test_texts_of_others_cannot_control_the_terminal(tmp_path):
    write_card(tmp_path, Card(title="a\x1b[2Jb", note="\x07"))
    assert read_card(tmp_path).title == "a\\x1b[2Jb"
    assert read_card(tmp_path).note == "\\x07"


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (Card(title="x" * (MOST_TITLE + 1)), "the title has 201 characters; at most 200 are kept"),
        (Card(note="x" * 20_000), "the note has 20,000 characters"),
        (Card(tags=tuple(map(str, range(MOST_TAGS + 1)))), "21 tags; at most 20 are kept"),
        (Card(tags=("x" * 41,)), "has 41 characters; at most 40 are kept"),
        (Card(place="gone"), "place 'gone'; choose one of '', 'archived', 'deleted'"),
    ],
)
def test_what_cannot_be_kept_is_refused(tmp_path, card, said):
    with pytest.raises(RunError, match=said):
        write_card(tmp_path, card)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_gone(tmp_path):
    with pytest.raises(RunError, match=r"cannot write .*; make the folder writable"):
        write_card(tmp_path / "gone", Card(title="x"))
