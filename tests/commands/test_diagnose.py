"""The command ``gradlens diagnose``: sentences, JSON, several runs."""

import json

from gradlens.commands.diagnose import print_diagnosis
from tests.made_runs import make_pair, make_run


def test_sentences_of_each_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    print_diagnosis(make_pair(tmp_path))
    told = capsys.readouterr().out
    assert told.startswith("lt\n! The training hardly follows the tail: ")
    assert "\n\nbalanced\n" in told
    assert max(map(len, told.splitlines())) <= 90


def test_json_is_one_object(tmp_path, capsys):
    run = make_run(tmp_path / "run", update=True)
    print_diagnosis([run], as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert list(found) == [str(run.path)]
    assert {"rule", "severity", "sentence", "number", "interval", "figure", "advice"} <= set(found[str(run.path)][0])


def test_control_characters_of_a_name_are_not_written(tmp_path, capsys):
    runs = [make_run(tmp_path / "a\x1b[31m", steps=60), make_run(tmp_path / "b", steps=60)]
    print_diagnosis(runs)
    assert "\x1b" not in capsys.readouterr().out
