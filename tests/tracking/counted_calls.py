"""Calls: which functions gradlens enters, and which others it calls."""

from __future__ import annotations

import sys
from pathlib import Path

import gradlens

PACKAGE = str(Path(gradlens.__file__).parent)


def is_own(frame) -> bool:
    return frame.f_code.co_filename.startswith(PACKAGE)


class Calls:
    """Notes calls of functions of gradlens, and of other functions by them (those that are wrapped, too), while it is entered."""

    def __init__(self) -> None:
        self.functions: list[str] = []

    def __call__(self, frame, event, argument) -> None:
        if event == "call" and (is_own(frame) or (frame.f_back is not None and is_own(frame.f_back))):
            self.functions.append(frame.f_code.co_qualname)
        elif event == "c_call" and is_own(frame):
            self.functions.append(getattr(argument, "__qualname__", str(argument)))

    def __enter__(self):
        sys.setprofile(self)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)
