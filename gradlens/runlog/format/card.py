"""gradlens-card.json: what people write about a run: a title, tags, a note, and whether lists show it.

It stands beside the files of the run and changes none of them. This file needs only the standard library.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gradlens.guards.printable import printable
from gradlens.runlog.errors import RunError
from gradlens.runlog.format.regular import open_regular, reason

FILE = "gradlens-card.json"
FORMAT = "gradlens-card"
PLACES = ("", "archived", "deleted")
MOST_TITLE = 200
MOST_TAGS = 20
MOST_TAG = 40
MOST_NOTE = 10_000
MOST_BYTES = 256 << 10


@dataclass(frozen=True)
class Card:
    """What people have written about a run.

    Attributes:
        title: Its name in lists and figures; "" = the name of its folder.
        tags: Words to find it by, each once.
        note: A text.
        place: "" = lists show it, "archived" or "deleted" = they do so only if they are asked. Its files stay.
        problem: Why the card of the folder cannot be read, or "".
    """

    title: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""
    place: str = ""
    problem: str = ""

    @property
    def listed(self) -> bool:
        """Whether lists show the run without being asked for it."""
        return not self.place


def read_card(folder: str | os.PathLike[str]) -> Card:
    """Returns the card of the run in a folder; an empty one if there is none. If it cannot be read, ``problem`` says why."""
    try:
        with open_regular(Path(folder) / FILE, MOST_BYTES) as file:
            text = file.read()
    except FileNotFoundError:
        return Card()
    except OSError as error:
        return Card(problem=f"{FILE} cannot be read: {reason(error)}")
    try:
        return _from_json(json.loads(text))
    except (ValueError, RecursionError):
        return Card(problem=f"{FILE} is damaged; its title, tags and note are not shown")


def write_card(folder: str | os.PathLike[str], card: Card) -> None:
    """Writes the card of the run in a folder. Readers see the old card or the new one.

    Args:
        folder: The run's folder.
        card: The card. Spaces around its texts and empty or repeated tags are left out.

    Raises:
        RunError: A text is too long, the place is unknown, or the card cannot be written.
    """
    # Here, since lists only read cards, and need nothing but the standard library.
    from gradlens.runlog.format.description import replace_file

    path = Path(folder) / FILE
    data = json.dumps({"format": FORMAT, **_checked(card)}, ensure_ascii=False, indent=1).encode("utf-8", "replace")
    try:
        replace_file(path, data + b"\n")
    except OSError as error:
        raise RunError(f"cannot write {path}: {reason(error)}; make the folder writable") from error


def _checked(card: Card) -> dict[str, Any]:
    tags = tuple(dict.fromkeys(filter(None, (" ".join(tag.split()) for tag in card.tags))))
    card = replace(card, title=" ".join(card.title.split()), tags=tags, note=card.note.strip())
    for name, text, most in (("title", card.title, MOST_TITLE), ("note", card.note, MOST_NOTE)):
        if len(text) > most:
            raise RunError(f"the {name} has {len(text):,} characters; at most {most:,} are kept")
    if len(tags) > MOST_TAGS:
        raise RunError(f"{len(tags)} tags; at most {MOST_TAGS} are kept")
    if long := next((tag for tag in tags if len(tag) > MOST_TAG), ""):
        raise RunError(f"the tag {long[:MOST_TAG]!r}... has {len(long)} characters; at most {MOST_TAG} are kept")
    if card.place not in PLACES:
        raise RunError(f"place {card.place!r}; choose one of {', '.join(map(repr, PLACES))}")
    facts = asdict(card)
    del facts["problem"]
    return facts


def _from_json(obj: Any) -> Card:
    if not isinstance(obj, dict) or obj.get("format") != FORMAT:
        raise ValueError("no card")
    tags = obj.get("tags")
    texts = [obj.get(name) for name in ("title", "note", "place")] + (tags if isinstance(tags, list) else [None])
    title, note, place, *words = [printable(text) for text in texts if isinstance(text, str)]
    if len(words) + 3 != len(texts) or place not in PLACES:
        raise ValueError("no card")
    return Card(title, tuple(words), note, place)
