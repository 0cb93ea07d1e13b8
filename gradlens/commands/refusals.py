"""How a command refuses: errors of gradlens are one printed line, and exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from gradlens.tracking.errors import TrackError
from gradlens.tracking.messages import say


@contextmanager
def refusals() -> Iterator[None]:
    """Turns the errors of gradlens into one printed line and exit code 2."""
    try:
        yield
    except TrackError as error:
        refuse(error)
    except ImportError as error:
        if error.name is None or error.name.startswith("gradlens"):
            raise
        refuse(f"{error.name} is not installed; install gradlens with its extras: pip install -e '.[all]'")
    except ValueError as error:
        # The errors of gradlens (RunError, GroupsError, FigureError) are ValueErrors. Others are bugs and keep their traceback.
        if not type(error).__module__.startswith("gradlens"):
            raise
        refuse(error)


def refuse(error: object) -> NoReturn:
    """Prints the error, and ends the process."""
    say(f"error: {error}")
    sys.exit(2)
