"""The engines where the model is on another device than the labels, and backward passes run in that device's thread."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
def test_engines_are_exact_on_a_second_device(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.engines.second_device_zoo", str(tmp_path / "errors.json")]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, timeout=1500)
    errors = json.loads((tmp_path / "errors.json").read_text())
    assert len(errors) > 60
    assert {case: error for case, error in errors.items() if not error <= 1e-4} == {}
