"""Notes which runs are opened for their rows."""

from __future__ import annotations

import pytest

from gradlens.runlog.reading.segment import Segment


def rows_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Returns a list that gets the name of a run whenever a file with its rows is read."""
    found: list[str] = []
    refresh = Segment.refresh

    def noted(self: Segment) -> object:
        found.append(self.path.parent.name)
        return refresh(self)

    monkeypatch.setattr(Segment, "refresh", noted)
    return found
