"""ClassGroups: which class belongs to which group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from gradlens.class_ids import GRAMMAR, GroupsError, check_name, checked_ids, parsed_range, ranges_text
from gradlens.classes.attribute import checked_attribute, checked_values, counted_values, ids_of_values
from gradlens.classes.frequency import HEAD, TAIL, by_frequency, rule_of
from gradlens.classes.group_file import read_group_file
from gradlens.classes.shots import by_shots, head_and_tail
from gradlens.shown import ShownInNotebooks


@dataclass(frozen=True, init=False, repr=False)
class ClassGroups(ShownInNotebooks):
    """Named groups of class ids. No class is in two groups.

    A class may be in no group. Its samples then count as untracked, and its gradient goes to ``rest``.

    Groups may also be made of the values of another attribute of the samples (domain, language, annotator): see
    ``of_attribute``. Everything that is said of classes then holds for these values.

    Attributes:
        names: Group names, in the order in which they are measured and drawn; by convention the head comes first.
        classes: For each group, its class ids in ascending order.
        num_classes: Number of classes C of the task; ids run from 0 to C - 1.
        rule: One sentence that says where the groups come from.
        members: Name of the attribute whose values the groups are made of, such as "domain"; None for classes.
        values: Names of these values, in the order of their ids; () if they have none.

    Example:
        >>> from gradlens import ClassGroups
        >>> ClassGroups({"head": range(7), "tail": [7, 8, 9]}, num_classes=10)
        ClassGroups(head: 0-6, tail: 7-9; 10 classes; given)
        >>> ClassGroups.head_tail([500, 60, 20, 19, 5])
        ClassGroups(head: 0-2, tail: 3-4; 5 classes; by the paper's rule, head classes have at least 20 images)
        >>> ClassGroups.parse("odd=1+3,even=0+2", num_classes=4).names
        ('odd', 'even')
        >>> ClassGroups.of_attribute("domain", ["photo", "sketch", "cartoon"], {"drawn": ["sketch", "cartoon"]})
        ClassGroups(drawn: 1-2; 3 values of domain; given)
    """

    names: tuple[str, ...]
    classes: tuple[tuple[int, ...], ...]
    num_classes: int
    rule: str
    members: str | None
    values: tuple[str, ...]

    def __init__(
        self,
        groups: Mapping[str, Iterable[int]],
        num_classes: int,
        *,
        rule: str = "given",
        members: str | None = None,
        values: Sequence[str] = (),
    ) -> None:
        """Checks and stores the groups.

        Args:
            groups: Group name -> class ids.
            num_classes: Number of classes C.
            rule: One sentence that says where the groups come from.
            members: Name of an attribute; the ids are those of its values then.
            values: [C] names of these values.

        Raises:
            GroupsError: There is no group, a group is empty, an id is outside 0..C-1, an id is in two groups, a name is
                reserved or holds "/", the values' names are not C different texts, or an argument has the wrong type.
        """
        classes, given = cast(Any, num_classes), cast(Any, groups)
        if not isinstance(classes, Integral) or classes < 1:
            raise GroupsError(f"num_classes is {num_classes!r}; give the number of classes of the task, at least 1")
        if not isinstance(given, Mapping):
            raise GroupsError(
                f"groups are {type(groups).__name__}; give a dict of group name to class ids, {{'head': [0, 1]}}"
            )
        if not groups:
            raise GroupsError(f"no groups given; write {GRAMMAR}")
        owner: dict[int, str] = {}
        found: dict[str, tuple[int, ...]] = {}
        for name, ids in groups.items():
            check_name(name)
            unique = sorted(checked_ids(name, ids))
            if not unique:
                raise GroupsError(f"group {name!r} is empty; give it at least one class id or leave it out")
            for c in unique:
                if not 0 <= c < num_classes:
                    raise GroupsError(
                        f"group {name!r} holds class id {c}, but ids of {num_classes} classes run from 0 to "
                        f"{num_classes - 1}; correct the id or num_classes"
                    )
                if c in owner:
                    raise GroupsError(
                        f"class {c} is in both {owner[c]!r} and {name!r}; groups must not overlap, so leave it in one"
                    )
                owner[c] = name
            found[name] = tuple(unique)
        object.__setattr__(self, "names", tuple(found))
        object.__setattr__(self, "classes", tuple(found.values()))
        object.__setattr__(self, "num_classes", int(num_classes))
        object.__setattr__(self, "rule", rule)
        object.__setattr__(self, "members", checked_attribute(members))
        object.__setattr__(self, "values", checked_values(values, int(num_classes)))

    @classmethod
    def head_tail(cls, class_counts: Sequence[int] | NDArray[Any]) -> Self:
        """Splits the classes by the paper's rule (Section 3.2): head classes have at least 20 images, tail classes fewer.

        If one side would be empty (balanced data, or few images in every class), the head is the most frequent 70 % of the
        classes, and ``rule`` says so. Among equally frequent classes, those with lower ids come first.

        Args:
            class_counts: [C] number of training images of each class.

        Raises:
            GroupsError: There are fewer than two classes, or the counts are not non-negative numbers.
        """
        members, rule = head_and_tail(class_counts)
        return cls(members, len(class_counts), rule=rule)

    @classmethod
    def shots(cls, class_counts: Sequence[int] | NDArray[Any]) -> Self:
        """Splits the classes into many (> 100 images), medium (20 to 100) and few (< 20). Empty groups are left out.

        Args:
            class_counts: [C] number of training images of each class.

        Raises:
            GroupsError: The counts are not non-negative numbers.
        """
        members, rule = by_shots(class_counts)
        return cls(members, len(class_counts), rule=rule)

    @classmethod
    def by_frequency(
        cls,
        class_counts: Sequence[int] | NDArray[Any],
        *,
        head: float = HEAD,
        tail: float = TAIL,
        without: Iterable[int] = (),
    ) -> Self:
        """Splits the classes into head, middle and tail by how often they occur: the rule for tokens of a vocabulary.

        The head is the most frequent classes that make up 80 % of all occurrences, the middle the classes of the next 15 %, and
        the tail those of the last 5 % and all that never occur. The class by which a limit is reached is still in the more
        frequent group, and classes that occur equally often are in one group. Empty groups are left out. These are the classes
        A, B and C of an ABC analysis.

        Args:
            class_counts: [C] how often each class occurs in the training data.
            head: The part of all occurrences that the head has.
            tail: The part of all occurrences that the tail has.
            without: Ids that are no classes and belong to no group (padding).

        Raises:
            GroupsError: The counts are not non-negative numbers, nothing was counted, or the parts are out of range.

        Example:
            >>> from gradlens import ClassGroups
            >>> ClassGroups.by_frequency([800, 100, 50, 30, 20, 0]).classes
            ((0,), (1, 2), (3, 4, 5))
        """
        return cls(by_frequency(class_counts, head, tail, without), len(class_counts), rule=rule_of(head, tail))

    @classmethod
    def from_file(cls, path: str | Path, num_classes: int) -> Self:
        """Reads groups from a file that names the group of each class; classes that it leaves out are in no group.

        Args:
            path: A JSON file ``{"0": "head", "7": "tail"}``, or a CSV file of lines such as ``0,head``.
            num_classes: Number of classes C.

        Raises:
            GroupsError: The file is missing or cannot be read; a class is unknown, is there twice, or has no group.
        """
        return cls(read_group_file(Path(path), num_classes), num_classes, rule=f"from {path}")

    @classmethod
    def per_class(cls, num_classes: int) -> Self:
        """Makes one group of each class, named by the class id."""
        return cls({str(c): [c] for c in range(num_classes)}, num_classes, rule="every class by itself")

    @classmethod
    def of_attribute(
        cls, attribute: str, values: int | Sequence[str], groups: Mapping[str, Iterable[int | str]] | None = None
    ) -> Self:
        """Makes groups of the values of an attribute of the samples, for ``Lens.backward(loss, labels, members=...)``.

        Args:
            attribute: Its name, such as "domain".
            values: The names of the values 0, 1, ..., or how many values there are.
            groups: Group name -> values, by id or by name. By default each value is a group.

        Raises:
            GroupsError: The attribute has no name, the values are no different texts, or the groups are not valid.
        """
        count, names = counted_values(values)
        if groups is None:
            alone = {name: [at] for at, name in enumerate(names or map(str, range(count)))}
            return cls(alone, count, rule="every value by itself", members=attribute, values=names)
        given = {name: ids_of_values(name, found, names) for name, found in groups.items()}
        return cls(given, count, members=attribute, values=names)

    @property
    def units(self) -> str:
        """What the groups are made of, as text: "classes", or "values of domain"."""
        return "classes" if self.members is None else f"values of {self.members}"

    @classmethod
    def parse(cls, text: str, num_classes: int) -> Self:
        """Reads groups from text such as ``head=0-69,tail=70-99``. Ranges include both ends.

        Args:
            text: NAME=IDS pairs, joined by commas. IDS are class ids and ranges, joined by ``+``.
            num_classes: Number of classes C.

        Raises:
            GroupsError: The text does not follow this grammar, or the groups are not valid.
        """
        groups: dict[str, list[int]] = {}
        for part in text.split(","):
            name, equals, ids = part.strip().partition("=")
            if not equals or not name or not ids:
                raise GroupsError(f"cannot read {part.strip()!r} in groups {text!r}; write {GRAMMAR}")
            if name in groups:
                raise GroupsError(f"group {name!r} is named twice in {text!r}; join its ids with '+'")
            groups[name] = [c for item in ids.split("+") for c in parsed_range(item, text)]
        return cls(groups, num_classes, rule="given as text")

    def of_class(self) -> NDArray[np.int64]:
        """Returns [C] the index of the group of each class; -1 for a class in no group."""
        return self._group_of.copy()

    @cached_property
    def _group_of(self) -> NDArray[np.int64]:
        table = np.full(self.num_classes, -1, dtype=np.int64)
        for index, ids in enumerate(self.classes):
            table[list(ids)] = index
        return table

    def fractions(self, class_counts: Sequence[float] | NDArray[Any] | None = None) -> NDArray[np.float64]:
        """Returns [K] the fraction of the classes that each group has; classes in no group do not count.

        Args:
            class_counts: [C] samples of each class. If given, the result is each group's fraction of the samples.
        """
        weights = np.ones(self.num_classes) if class_counts is None else np.asarray(class_counts, dtype=np.float64)
        sums = np.array([weights[list(ids)].sum() for ids in self.classes])
        return np.asarray(sums / sums.sum(), dtype=np.float64)

    def to_json(self) -> dict[str, Any]:
        """Returns a JSON object. ``from_json`` makes equal groups from it."""
        groups = {name: list(ids) for name, ids in zip(self.names, self.classes, strict=True)}
        of_attribute = {} if self.members is None else {"members": self.members, "values": list(self.values)}
        return {"num_classes": self.num_classes, "rule": self.rule, "groups": groups, **of_attribute}

    @classmethod
    def from_json(cls, obj: Mapping[str, Any]) -> Self:
        """Makes groups from a JSON object that ``to_json`` returned.

        Raises:
            GroupsError: A key is missing, or the groups are not valid.
        """
        try:
            return cls(
                obj["groups"],
                int(obj["num_classes"]),
                rule=str(obj.get("rule", "given")),
                members=obj.get("members"),
                values=obj.get("values", ()),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise GroupsError(
                f"not a description of class groups: {error!r}; expected keys 'groups' and 'num_classes'"
            ) from error

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        shown = [f"{n}: {ranges_text(ids)}" for n, ids in zip(self.names[:6], self.classes[:6], strict=True)]
        more = f", ... {len(self) - 6} more" if len(self) > 6 else ""
        return f"ClassGroups({', '.join(shown)}{more}; {self.num_classes} {self.units}; {self.rule})"
