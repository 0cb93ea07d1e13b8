"""Groups of an attribute's values: their names, their ids, and what is refused."""

from __future__ import annotations

import json

import pytest

from gradlens import ClassGroups
from gradlens.class_ids import GroupsError


def test_groups_of_an_attribute_are_made_of_its_values() -> None:
    groups = ClassGroups.of_attribute("domain", ["photo", "sketch", "cartoon"], {"drawn": ["sketch", 2]})
    assert (groups.names, groups.classes, groups.num_classes) == (("drawn",), ((1, 2),), 3)
    assert (groups.members, groups.values, groups.units) == (
        "domain",
        ("photo", "sketch", "cartoon"),
        "values of domain",
    )
    assert ClassGroups.from_json(json.loads(json.dumps(groups.to_json()))) == groups
    assert groups != ClassGroups({"drawn": [1, 2]}, 3, rule="given")
    assert ClassGroups.of_attribute("angle", 2).names == ("0", "1")
    assert ClassGroups.of_attribute("domain", ["a", "b"]).names == ("a", "b")
    assert "members" not in ClassGroups.per_class(2).to_json()  # files of groups of classes stay as they are


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("d", ["a", "a"]), "give each value a name of its own"),
        (("d", "ab"), "give a name for each"),
        (("d", [1, 2]), "give a name for each"),
        (("", 3), "give its name, such as 'domain'"),
        (("d", 0), "or how many there are"),
        (("d", []), "or how many there are"),
        (("d", None), "or how many there are"),
        (("d", ["a"], {"x": "a"}), "which is no list of values"),
        (("d", ["a"], {"x": ["b"]}), "holds 'b', which is no value; the values are a"),
        (("d", 2, {"x": [2]}), "group 'x' holds"),
        (("d", ["rest"]), "reserved"),
    ],
)
def test_wrong_values_of_an_attribute_are_refused(arguments: tuple[object, ...], says: str) -> None:
    with pytest.raises(GroupsError, match=says):
        ClassGroups.of_attribute(*arguments)
