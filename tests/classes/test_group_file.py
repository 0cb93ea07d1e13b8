"""Groups from files: what is read, and what is said of files that cannot be used."""

from __future__ import annotations

import pytest

from gradlens import ClassGroups
from gradlens.class_ids import GroupsError


def written(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    return tmp_path / name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("g.json", '{"3": "rare", "0": "often", "1": "often"}'),
        ("g.csv", "class,group\n3,rare\n\n0, often\n1,often\n"),
        ("g.csv", "3,rare\n0,often\n1,often"),
    ],
)
def test_the_group_of_each_class_is_read(tmp_path, name, text):
    groups = ClassGroups.from_file(written(tmp_path, name, text), num_classes=5)
    assert groups.names == ("rare", "often")
    assert groups.classes == ((3,), (0, 1))
    assert groups.of_class().tolist() == [1, 1, -1, 0, -1]
    assert name in groups.rule


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("g.json", '{"5": "a"}', "class 5 is unknown: ids of 5 classes run from 0 to 4"),
        ("g.json", '{"cat": "a"}', "class 'cat' is unknown"),
        ("g.csv", "-1,a", "class '-1' is unknown"),
        ("g.json", '{"1": "a", "1": "b"}', "class 1 is there twice"),
        ("g.csv", "1,a\n1,a", "class 1 is there twice"),
        ("g.json", '{"1": ""}', "class 1 has no group"),
        ("g.csv", "1,", "class 1 has no group"),
        ("g.json", '{"1": 2}', "class 1 has no group"),
        ("g.json", "{}", "names no class"),
        ("g.csv", "class,group\n", "names no class"),
        ("g.json", '["a"]', "no JSON object"),
        ("g.json", "{", "is no JSON"),
        ("g.csv", "1,a,b", "line 1 is '1,a,b'"),
        ("g.txt", "1,a", r"ends in '.txt'"),
        ("g.json", '{"1": "rest"}', "'rest' is reserved"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path, name, text, said):
    with pytest.raises(GroupsError, match=said):
        ClassGroups.from_file(written(tmp_path, name, text), num_classes=5)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(GroupsError, match=r"g\.csv is missing"):
        ClassGroups.from_file(tmp_path / "g.csv", num_classes=5)
