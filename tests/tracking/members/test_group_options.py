"""--members and --groups: what they mean together, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradlens import ClassGroups
from gradlens.tracking.errors import TrackError
from gradlens.tracking.members.group_options import checked_members


def groups(text: str, path: str = "batch.domain") -> ClassGroups:
    found = checked_members(path, text, None, None)
    assert found is not None
    return ClassGroups.from_json(found)


def test_each_value_is_a_group_by_default() -> None:
    assert checked_members("batch.domain", None, None, None) is None
    assert checked_members("batch[2]", "per-class", None, None) is None


def test_an_attribute_has_the_name_of_the_last_step() -> None:
    assert groups("a=0", "batch.domain").members == "domain"
    assert groups("a=0", "batch[2]").members == "batch[2]"
    assert groups("a=0", "batch['text']['lang']").members == "lang"


def test_groups_name_ids_or_texts() -> None:
    by_id = groups("photo=0,drawn=1-2+5")
    assert (by_id.classes, by_id.num_classes, by_id.members, by_id.values) == (((0,), (1, 2, 5)), 6, "domain", ())
    by_text = groups("photo=photo,drawn=sketch+line-art")
    assert (by_text.classes, by_text.values) == (((0,), (1, 2)), ("photo", "sketch", "line-art"))


def test_groups_of_another_run() -> None:
    other = groups("a=0,b=1").to_json()
    assert checked_members("batch.domain", None, other, Path("run")) == other
    with pytest.raises(TrackError, match="its groups are made of classes"):
        checked_members("batch.domain", None, ClassGroups.per_class(2).to_json(), Path("run"))


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        ("domain", None, "is no place in a batch"),
        ("batch", None, "is the whole batch"),
        ("batch.domain", "shots", "is a rule for classes"),
        ("batch.domain", "photo", "cannot read 'photo'"),
        ("batch.domain", "a=0,a=1", "named twice"),
        ("batch.domain", "a=0,b=0", "in both"),
        ("batch.domain", "a=0,b=sketch", "some values are texts and some are numbers"),
        ("batch.domain", "a=3-1", "runs backwards"),
        ("batch.domain", "rest=0", "reserved"),
    ],
)
def test_other_options_are_refused(path: str, text: str | None, says: str) -> None:
    with pytest.raises(TrackError, match=says):
        checked_members(path, text, None, None)
