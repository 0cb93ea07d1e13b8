"""Program: finds and compiles the script or module to run, and sets it up as Python itself does."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

from gradlens.tracking.errors import TrackError


@dataclass(frozen=True)
class Main:
    """The code that becomes ``__main__``.

    Attributes:
        code: The compiled program.
        argv0: The program's ``sys.argv[0]``.
        attributes: The module's ``__file__``, ``__spec__`` and the like.
    """

    code: CodeType
    argv0: str
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Program:
    """The program to run.

    Attributes:
        name: Short name, also for the run's folder.
        argv0: ``sys.argv[0]`` until the code is loaded.
        first_path: The folder that Python would put at ``sys.path[0]``.
        load: Finds and compiles the code. For a module, this imports the packages around it.
    """

    name: str
    argv0: str
    first_path: str
    load: Callable[[], Main]


def script(path: str) -> Program:
    """Returns the program of ``python path``. The path may also be a folder or a zip file that holds a ``__main__.py``.

    Raises:
        TrackError: There is no such file.
    """
    if not os.path.exists(path):
        raise TrackError(f"script {path!r} not found in {os.getcwd()}; check the path, or run a module with -m")
    absolute = os.path.join(os.getcwd(), path)  # as Python writes it: not normalised
    if os.path.isdir(path) or (not path.endswith(".py") and zipfile.is_zipfile(path)):
        name = Path(os.path.normpath(absolute)).stem
        return Program(name, path, absolute, lambda: _load_folder(absolute, path))
    return Program(
        Path(path).stem, path, os.path.dirname(os.path.realpath(absolute)), lambda: _load_script(absolute, path)
    )


def module(name: str) -> Program:
    """Returns the program of ``python -m name``."""
    return Program(name.removesuffix(".__main__"), "-m", os.getcwd(), lambda: _load_module(name))


def _load_script(absolute: str, as_typed: str) -> Main:
    try:
        with open(absolute, "rb") as file:
            source = file.read()
    except OSError as error:
        raise TrackError(f"cannot read script {as_typed!r}: {error.strerror}") from error
    code = compile(source, absolute, "exec", dont_inherit=True)
    facts = {
        "__file__": absolute,
        "__cached__": None,
        "__loader__": SourceFileLoader("__main__", absolute),
        "__package__": None,
        "__spec__": None,
    }
    return Main(code, as_typed, facts)


def _load_folder(absolute: str, as_typed: str) -> Main:
    spec = importlib.machinery.PathFinder.find_spec("__main__", [absolute])
    if spec is None:
        raise TrackError(f"cannot find a __main__.py in {as_typed!r}; name the script in it")
    return _main_of(spec, as_typed)


def _load_module(name: str) -> Main:
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            if name.endswith(".__main__"):
                raise TrackError(f"cannot use package {name!r} as a module to run; name a module")
            name += ".__main__"
            spec = importlib.util.find_spec(name)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise TrackError(f"cannot find module {name!r}: {type(error).__name__}: {error}") from error
    if spec is None:
        package, _, last = name.rpartition(".")
        hint = (
            f"package {package!r} has no __main__ and cannot be run"
            if last == "__main__"
            else f"no module named {name!r}"
        )
        raise TrackError(f"-m {name}: {hint}; check the name and the working directory {os.getcwd()}")
    return _main_of(spec, spec.origin or name)


def _main_of(spec: ModuleSpec, argv0: str) -> Main:
    loader: Any = spec.loader
    code = loader.get_code(spec.name) if hasattr(loader, "get_code") else None
    if code is None:
        raise TrackError(f"-m {spec.name}: it holds no Python code that could be run")
    facts = {
        "__file__": spec.origin,
        "__cached__": spec.cached,
        "__loader__": loader,
        "__package__": spec.parent,
        "__spec__": spec,
    }
    return Main(code, argv0, facts)
