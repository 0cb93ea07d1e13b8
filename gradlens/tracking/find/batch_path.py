"""BatchPath: a place in what a loader yields, as the user writes it: ``batch[1]``, ``batch.label``, ``batch["text"].domain``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gradlens.tracking.errors import TrackError, WrongUse

ROOT = "batch"
# A shell removes the quotes of batch["label"], so a word in brackets without quotes is a key, too.
_STEP = re.compile(r"""\.(?P<name>[^\W\d]\w*)|\[(?P<index>-?\d+)\]|\[(?P<quote>["']?)(?P<key>[^\[\]"']+)(?P=quote)\]""")
# A batch is described, and its tensors are listed, to this depth, and at most this many entries of each part.
DEEPEST, MOST = 4, 64
SHOWN = 8


@dataclass(frozen=True)
class BatchPath:
    """A place in a batch.

    Attributes:
        text: The path as the user wrote it.
        steps: The way from the batch to the place: an index or a key, or (name,) for ``.name``, an attribute or a key.
    """

    text: str
    steps: tuple[int | str | tuple[str], ...]

    @property
    def name(self) -> str:
        """The name of the last step of the way; the whole text if that step is a number."""
        last = self.steps[-1] if self.steps else 0
        return self.text if isinstance(last, int) else last if isinstance(last, str) else last[0]

    def of(self, batch: Any, option: str) -> Any:
        """Returns what lies at this place.

        Args:
            batch: What a loader has yielded.
            option: The option that gave the path, for the message.

        Raises:
            WrongUse: There is no such place. The message says what the batch holds.
        """
        found = batch
        for number, step in enumerate(self.steps):
            try:
                found = _at(found, step)
            except Exception as error:  # the batch may be an object of the script, which raises anything
                at = "" if not number else f" at {written(self.steps[:number])}"
                raise WrongUse(
                    f"{option} {self.text}: there is no {_shown(step)}{at}; the batch is {described(batch)}; "
                    f"name one of {_choices(batch)}"
                ) from error
        return found


def parse_path(text: str, option: str) -> BatchPath:
    """Reads a path.

    Args:
        text: The path.
        option: The option that gave the path, for the message.

    Raises:
        TrackError: The text is no path.
    """
    rest = text.strip().removeprefix(ROOT)
    steps: list[int | str | tuple[str]] = []
    at = 0
    while at < len(rest) and (match := _STEP.match(rest, at)):
        if match["name"] is not None:
            steps.append((match["name"],))
        else:
            steps.append(int(match["index"]) if match["index"] is not None else match["key"])
        at = match.end()
    if not text.strip().startswith(ROOT) or at < len(rest):
        raise TrackError(
            f"{option} {text!r} is no place in a batch; write {ROOT}[1], {ROOT}.label, {ROOT}['label'] or several such steps"
        )
    return BatchPath(text.strip(), tuple(steps))


def written(steps: tuple[int | str | tuple[str], ...]) -> str:
    """Returns the text of a path."""
    return ROOT + "".join(_shown(step) for step in steps)


def entries_of(value: Any) -> Iterator[tuple[int | str | tuple[str], Any]]:
    """Yields the parts of a container, each with the step that leads to it; none for a tensor or any other value.

    Containers are mappings, sequences, dataclasses, and objects that have ``keys`` and attributes or items of these names (the
    data of PyTorch Geometric, say).
    """
    if isinstance(value, Mapping):
        keys = [key for key in list(value)[:MOST] if isinstance(key, str | int)]
        yield from ((key, value[key]) for key in keys)
    elif isinstance(value, list | tuple):
        names = getattr(value, "_fields", None)
        for number, part in enumerate(value[:MOST]):
            yield (number if names is None else (str(names[number]),)), part
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from (((field.name,), getattr(value, field.name, None)) for field in dataclasses.fields(value)[:MOST])
    elif callable(getattr(type(value), "keys", None)) and callable(getattr(type(value), "__getitem__", None)):
        yield from ((str(key), value[key]) for key in list(value.keys())[:MOST])


def tensors_of(batch: Any) -> dict[str, Any]:
    """Returns the tensors in a batch by their paths, in the order in which they lie there.

    Parts of a batch that cannot be read are left out.
    """
    found: dict[str, Any] = {}
    _collect(batch, (), found)
    return found


def described(batch: Any, depth: int = 2) -> str:
    """Returns a text that says what a batch holds: "a tuple of [0] float32 [8, 4], [1] int64 [8]"."""
    import numpy as np
    from torch import Tensor

    if isinstance(batch, Tensor | np.ndarray):
        return f"{str(batch.dtype).removeprefix('torch.')} {list(batch.shape)}"
    parts = _entries(batch)
    kind = type(batch).__name__
    article = "an" if kind[:1].lower() in "aeiou" else "a"
    if not parts or not depth:
        return f"{article} {kind}"
    shown = ", ".join(f"{_shown(step)} {described(part, depth - 1)}" for step, part in parts[:SHOWN])
    return f"{article} {kind} of {shown}{', ...' if len(parts) > SHOWN else ''}"


def _collect(value: Any, steps: tuple[int | str | tuple[str], ...], found: dict[str, Any]) -> None:
    from torch import Tensor

    if isinstance(value, Tensor):
        found[written(steps)] = value
    elif len(steps) < DEEPEST:
        for step, part in _entries(value):
            _collect(part, (*steps, step), found)


def _entries(value: Any) -> list[tuple[int | str | tuple[str], Any]]:
    try:
        return list(entries_of(value))
    except Exception:  # an object of the script, which may raise anything
        return []


def _at(value: Any, step: int | str | tuple[str]) -> Any:
    if not isinstance(step, tuple):
        return value[step]
    (name,) = step
    return value[name] if isinstance(value, Mapping) and name in value else getattr(value, name)


def _shown(step: int | str | tuple[str]) -> str:
    if isinstance(step, tuple):
        return f".{step[0]}"
    return f"[{step}]" if isinstance(step, int) else f"['{step}']"


def _choices(batch: Any) -> str:
    paths = list(tensors_of(batch))
    return ", ".join(paths[:SHOWN]) if paths else "its entries"
