"""Parts that all sections of ``on_gpu.py`` share: arguments, and a file of rows that is complete after each row."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def parser(description: str | None) -> argparse.ArgumentParser:
    """Returns a parser with the arguments that every section has."""
    found = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    found.add_argument("--device", default="cuda")
    found.add_argument("--out", type=Path, required=True, help="JSON file of this section")
    found.add_argument("--small", action="store_true", help="a few tiny rows, to try the section out")
    return found


class Record:
    """Rows of facts in a JSON file. It is written again after each row, so that an interruption loses nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        self._begun = time.perf_counter()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._write()

    def add(self, **facts: Any) -> dict[str, Any]:
        """Adds a row, writes the file, and returns the row."""
        self.rows.append({**facts, "at": round(time.perf_counter() - self._begun, 2)})
        self._write()
        return self.rows[-1]

    def attempt(self, facts: dict[str, Any], work: Callable[[], dict[str, Any]]) -> None:
        """Adds the row that ``work`` returns. If it raises an error, adds that instead, so that later rows are not lost."""
        try:
            self.add(**facts, **work())
        except Exception as error:
            self.add(**facts, failed=f"{type(error).__name__}: {str(error).strip()[:400]}")

    def replace(self, rows: list[dict[str, Any]]) -> None:
        """Writes the file with these rows instead."""
        self.rows = rows
        self._write()

    def _write(self) -> None:
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.rows, indent=None, separators=(",", ":")))
        os.replace(partial, self.path)


def deterministic() -> None:
    """Makes kernels deterministic where possible. Others only give a warning."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def synchronize(device: str) -> None:
    """Waits for the device."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def empty_cache(device: str) -> None:
    """Returns unused memory to the device, so that the next row does not run out of it."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
