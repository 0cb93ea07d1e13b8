"""The built wheel: what it installs, and that its commands work in an environment that has nothing else of the checkout."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from gradlens import Run
from tests.tracking.processes import run

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("gradlens", "app", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:  # a copy: building writes nothing into the checkout
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder)
    done = run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"], folder)
    assert done.code == 0, done.err
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """The programs of a fresh environment with the wheel; other packages are those of this one, but not its gradlens."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")  # its own .pth files are not followed
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--ignore-installed", str(wheel)]
    done = run([str(folder / "bin" / "python"), *install], folder, PYTHONPATH="")
    assert done.code == 0, done.err
    return folder / "bin"


def test_it_installs_two_packages_and_their_files(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {
        "gradlens",
        "gradlens_dashboard",
        "gradlens_torch-0.1.0.dist-info",
    }
    for needed in ("gradlens/py.typed", "gradlens/figures/report.html", "gradlens_dashboard/components/chart.js"):
        assert needed in names


def test_it_is_found_without_the_checkout(environment, tmp_path):
    code = "import gradlens, gradlens_dashboard, importlib.util as u; print(gradlens.__file__, u.find_spec('app'))"
    done = run([str(environment / "python"), "-c", code], tmp_path, PYTHONPATH="")
    (own,) = environment.parent.glob("lib/*/site-packages/gradlens/__init__.py")
    assert done.out.split() == [str(own), "None"], done.err
    assert run([str(environment / "gradlens"), "ls", "."], tmp_path, PYTHONPATH="").code == 0


@pytest.mark.slow
def test_its_demo_and_its_dashboard_run(environment, tmp_path):
    for package in ("sklearn", "plotly", "streamlit"):
        pytest.importorskip(package)
    done = run([str(environment / "gradlens"), "demo"], tmp_path, 900, PYTHONPATH="")
    assert done.code == 0, done.err
    assert Run(tmp_path / "runs" / "demo" / "long-tailed").status.state == "finished"
    assert (tmp_path / "runs" / "demo" / "report.html").exists()

    port = free_port()
    server = subprocess.Popen(
        [environment / "gradlens", "dashboard", "runs/demo", "--no-browser", "--port", str(port)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert answers(f"http://127.0.0.1:{port}/_stcore/health") == b"ok"
    finally:
        server.terminate()
        server.wait(30)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(address, patience=120):
    """Returns what an address answers, once it does."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        with suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
            return answer.read()
        time.sleep(0.5)
    raise TimeoutError(address)
