"""Fixtures of the tests of tracking."""

from __future__ import annotations

import pytest

from tests.tracking.in_process import trackers


@pytest.fixture
def start(tmp_path):
    """Starts a tracker in this process, and takes its patches away afterwards."""
    with trackers(tmp_path / "run") as begin:
        yield begin
