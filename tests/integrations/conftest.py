"""The scripts whose fits the callbacks measure."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "e2e" / "scripts"


@pytest.fixture
def script(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def load(name: str):
        return importlib.import_module(name)

    yield load
    for name in ("lightning_fit", "hf_trainer", "ddp"):
        sys.modules.pop(name, None)
