"""logged.jsonl: the numbers that a training reports itself, such as its validation loss or its learning rate.

Each line is a strict JSON object with its checksum, as in events.jsonl: kind "logged", step, time, session and values, an object
of names and numbers. A number that is not finite is null.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILE = "logged.jsonl"
KIND = "logged"
LONGEST_NAME = 200


@dataclass(frozen=True)
class Logged:
    """What a training has logged under one name, in the order of the steps.

    Attributes:
        steps: [n] int64 optimizer steps. A step may occur more than once.
        values: [n] float64 values; NaN = the value was not finite.
        time: [n] Unix seconds.
        read: How many values of the name stand in the file, left out and superseded ones included.
    """

    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    time: NDArray[np.float64]
    read: int

    def __len__(self) -> int:
        return len(self.steps)


def check_name(name: Any) -> None:
    """Checks the name of a logged value.

    Raises:
        ValueError: It is empty or too long, begins or ends with a space, or holds characters that cannot be printed.
    """
    if (
        not isinstance(name, str)
        or not name
        or name != name.strip()
        or not name.isprintable()
        or len(name) > LONGEST_NAME
    ):
        raise ValueError(
            f"log: {name!r} is no name of a value; use a text of 1 to {LONGEST_NAME} printable characters, such as 'val/loss'"
        )
