"""A program as Python itself would set it up: what it finds in its names and in ``sys.argv``, against ``python`` itself."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import pytest

from gradlens.tracking.errors import TrackError
from gradlens.tracking.launch import program as programs

# What a program can see of how it was started.
SEES = "import sys\nseen = [__file__, __package__, str(__cached__), sys.argv[0]]\nprint(seen)\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "script.py").write_text(SEES)
    for folder in ("folder", "package"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__main__.py").write_text(SEES)
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "package" / "part.py").write_text(SEES)
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as file:
        file.writestr("__main__.py", SEES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "package"]:
        del sys.modules[name]


def seen_by_python(*words: str) -> list[str]:
    command = [sys.executable, "-W", "ignore", *words]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return eval(found.stdout)  # a list of texts that the program has printed


@pytest.mark.parametrize("target", ["script.py", "./script.py", "folder", "packed.zip"])
def test_a_script_a_folder_and_a_zip_file(target, monkeypatch):
    described = programs.script(target)
    monkeypatch.syspath_prepend(described.first_path)
    main = described.load()
    monkeypatch.setattr(sys, "argv", [main.argv0])
    names = dict(main.attributes)
    exec(main.code, names)
    assert names["seen"] == seen_by_python(target)


@pytest.mark.parametrize("target", ["package", "package.part", "package.__main__"])
def test_a_module(target, monkeypatch):
    if target == "package.__main__":
        assert programs.module(target).name == "package"
    described = programs.module(target)
    main = described.load()
    monkeypatch.setattr(sys, "argv", [main.argv0])
    names = dict(main.attributes)
    exec(main.code, names)
    assert names["seen"] == seen_by_python("-m", target)
    assert described.argv0 == "-m"


def test_what_cannot_be_run_is_named(here):
    (here / "none").mkdir()
    with pytest.raises(
        TrackError, match=r"script 'nowhere.py' not found in .*; check the path, or run a module with -m"
    ):
        programs.script("nowhere.py")
    with pytest.raises(TrackError, match=r"cannot find a __main__.py in 'none'"):
        programs.script("none").load()
    with pytest.raises(TrackError, match="no module named 'nowhere'"):
        programs.module("nowhere").load()
    (here / "package" / "bare").mkdir()
    with pytest.raises(TrackError, match=r"package 'package.bare' has no __main__ and cannot be run"):
        programs.module("package.bare").load()
    (here / "wrong.py").write_text("def f(:")
    with pytest.raises(SyntaxError):
        programs.script("wrong.py").load()
