"""Makes the experiment scripts importable by their file names."""

import importlib.util
import sys
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


@pytest.fixture
def load_experiment(monkeypatch):
    """Returns a function that imports experiments/<name>.py; the name may begin with a folder."""

    def load(name):
        file = EXPERIMENTS / f"{name}.py"
        monkeypatch.syspath_prepend(str(file.parent))  # as when it runs as a script
        spec = importlib.util.spec_from_file_location(f"experiment_{file.stem}", file)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    return load
