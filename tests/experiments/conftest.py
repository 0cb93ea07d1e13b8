"""Makes the experiment scripts importable by their file names, and runs those of the lab on the digits."""

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


@pytest.fixture
def run(load_experiment, monkeypatch, tmp_path):
    """Returns a function that runs an experiment with arguments and returns the folder of its results."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS))

    def call(name, *arguments):
        script = Path(name).name
        results = tmp_path / f"{script}-results"
        command = [f"{script}.py", "--dataset", "digits", "--epochs", "1", "--device", "cpu", *arguments]
        command += ["--runs", str(tmp_path / f"{script}-runs"), "--results", str(results)]
        monkeypatch.setattr("sys.argv", command)
        # Drawing a picture starts a browser; the figure itself is made all the same.
        monkeypatch.setattr(
            "plotly.graph_objects.Figure.write_image", lambda self, path, **_: path.write_bytes(b"drawn")
        )
        load_experiment(name).main()
        return results

    return call
