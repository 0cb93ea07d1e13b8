"""TrackOptions: the options of `gradlens track`, and the functions that check them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gradlens.choices import DEFAULT_BUDGET
from gradlens.tracking.errors import TrackError

# The names of the group rules; any other text of --groups is NAME=IDS pairs.
RULES = ("head-tail", "shots", "frequency", "per-class")
# The endings of files that name the group of each class.
GROUP_FILES = (".json", ".csv")


@dataclass(frozen=True)
class TrackOptions:
    """Checked options of `gradlens track`.

    Attributes:
        groups: "head-tail", "shots", "frequency", "per-class" or NAME=IDS pairs; None = head-tail.
        groups_from: ``ClassGroups.to_json()`` of another run or of a file, instead of ``groups``.
        groups_source: Path of that run or file, for messages.
        labels: Place of the labels in a batch, as ``find.batch_path`` reads it; None = found by other means.
        anchor: Name of the module whose output has a row for each sample; None = found by other means.
        every: Measure every so many optimizer steps; None = as often as ``budget`` allows.
        budget: Fraction of the training time that measuring may take, if ``every`` is None.
        out: Folder of the run, as given.
        name: Name of the run below runs/, as given.
        engine: "auto", "masked", "split" or "func".
        layers: Whether to log the Gram matrix of every layer.
        update: Whether to log the optimizer's update as a vector; None: where nothing speaks against it.
        strict: Whether an error of gradlens ends the training.
        follows: Whether another process of the same training writes the run.
        members: Where a batch holds the attribute that the groups are made of; None for groups of classes.
    """

    groups: str | None = None
    groups_from: dict[str, object] | None = None
    groups_source: Path | None = None
    labels: str | None = None
    anchor: str | None = None
    every: int | None = None
    budget: float = DEFAULT_BUDGET
    out: Path | None = None
    name: str | None = None
    engine: str = "auto"
    layers: bool = False
    update: bool | None = None
    strict: bool = False
    follows: bool = False
    members: str | None = None

    @property
    def from_file(self) -> bool:
        """Whether ``groups_from`` was read from a file. A file names classes, and the model says how many there are."""
        return self.groups_source is not None and self.groups_source.suffix in GROUP_FILES

    @property
    def cadence(self) -> str:
        """How often gradlens measures, as text for the user."""
        if self.every is None:
            return f"within {100 * self.budget:.3g}% of the training time"
        return "every step" if self.every == 1 else f"every {self.every} steps"


def parse_budget(text: str) -> float:
    """Returns the fraction that ``5%`` or ``0.05`` stands for.

    Raises:
        TrackError: The text is no such number, or the fraction is not above 0 and at most 1.
    """
    number, percent = (text[:-1], 100) if text.endswith("%") else (text, 1)
    try:
        value = float(number) / percent
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise TrackError(f"--budget {text!r} is no fraction of training time; write it as 5% or 0.05, at most 100%")
    return value


def check_groups(text: str) -> None:
    """Checks the text of ``--groups`` as far as possible: the number of classes is not known yet.

    Raises:
        TrackError: The text is neither the name of a rule nor NAME=IDS pairs. The message says the grammar.
    """
    if text in RULES:
        return
    from gradlens.class_ids import GroupsError
    from gradlens.groups import ClassGroups

    try:
        ClassGroups.parse(text, num_classes=1 << 31)
    except GroupsError as error:
        raise TrackError(f"--groups: {error}; or one of the rules {', '.join(RULES)}") from error


def read_groups(run: Path) -> dict[str, object]:
    """Returns the groups of another run, or of a file that names the group of each class, as JSON.

    Args:
        run: Folder of the run; or a file whose name ends in .json or .csv.

    Raises:
        TrackError: The folder holds no run, or the groups cannot be used.
    """
    if run.suffix in GROUP_FILES:
        return _read_file(run)
    # Only the run's description is read: opening the whole run would import modules that the script has not imported yet.
    from gradlens.runlog.errors import RunError
    from gradlens.runlog.format.description import checked_meta

    try:
        meta, problems = checked_meta(run)
    except RunError as error:
        raise TrackError(f"--groups-from {run}: {error}") from error
    if problems:
        raise TrackError(
            f"--groups-from {run}: {'; '.join(problems)}: its groups may be others; give them with --groups"
        )
    from gradlens.class_ids import GroupsError
    from gradlens.groups import ClassGroups

    try:
        return ClassGroups.from_json(meta.groups).to_json()
    except GroupsError as error:
        raise TrackError(f"--groups-from {run}: {error}") from error


def _read_file(path: Path) -> dict[str, object]:
    from gradlens.class_ids import MOST_CLASSES, GroupsError
    from gradlens.groups import ClassGroups

    try:
        groups = ClassGroups.from_file(path, MOST_CLASSES)
        members = dict(zip(groups.names, groups.classes, strict=True))
        # How many classes there are, the model says.
        return ClassGroups(members, max(ids[-1] for ids in groups.classes) + 1, rule=groups.rule).to_json()
    except GroupsError as error:
        raise TrackError(f"--groups-from {error}") from error
