"""RunMeta: the facts about a run that stand in its run.json."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field, fields
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from gradlens.runlog import strict_json
from gradlens.runlog.errors import NotARun, RunError, RunTooNew

SCHEMA_VERSION = 1
FORMAT = "gradlens-run"
FILE = "run.json"


@dataclass(frozen=True)
class RunMeta:
    """Everything about a run but its measurements and events. The writer fills what concerns the process and the status.

    Attributes:
        groups: ``ClassGroups.to_json()`` of the run's groups.
        names: The V vectors of the measurements, where already known ("head", "tail", "rest", "update").
        layer_names: The L layers, or () where layers are not logged.
        class_counts: [C] training images of each class, where known.
        command: The command line that started the training.
        gradlens: Version of gradlens.
        torch: Version of torch.
        git_commit: Commit of the working directory's repository.
        seed: Random seed, where known.
        engine: Engine that measures.
        engine_reason: Why this one.
        cadence: How often is measured, as text ("every 10 steps").
        subset_hash: Fingerprint of the training subset.
        hyperparameters: Whatever the training wants to be told apart by.
        dataset: Name of the data set.
        method: Name of the training method.
        status: "running", "finished", "failed" or "interrupted", as the writer left it (a killed process cannot say so).
        reason: Why it failed or was interrupted.
        pid: Process that writes, or wrote last.
        pid_start: Start mark of that process, to tell it from a later one of the same pid.
        host: Machine of that process.
        started: Unix seconds of the first start.
        ended: Unix seconds of the end, or None.
        timings: Named seconds (or ratios) that the lens measured of itself.
        extra: Anything else.
        schema: Version of the files' layout.
    """

    groups: dict[str, Any]
    names: tuple[str, ...] = ()
    layer_names: tuple[str, ...] = ()
    class_counts: tuple[float, ...] | None = None
    command: tuple[str, ...] = ()
    gradlens: str | None = None
    torch: str | None = None
    git_commit: str | None = None
    seed: int | None = None
    engine: str | None = None
    engine_reason: str | None = None
    cadence: str | None = None
    subset_hash: str | None = None
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    dataset: str | None = None
    method: str | None = None
    status: str = "running"
    reason: str | None = None
    pid: int = 0
    pid_start: str | None = None
    host: str = ""
    started: float | None = None
    ended: float | None = None
    timings: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA_VERSION

    @classmethod
    def here(cls, groups: dict[str, Any], **facts: Any) -> Self:
        """Returns the meta of a run in this process: versions, command line and git commit are looked up unless given.

        Args:
            groups: ``ClassGroups.to_json()``.
            **facts: Any other attribute of RunMeta.
        """
        found: dict[str, Any] = {
            "command": (sys.executable, *sys.argv),
            "gradlens": _version("gradlens-torch"),
            "torch": _version("torch"),
        }
        if "git_commit" not in facts:
            found["git_commit"] = git_commit()
        return cls(groups, **{**found, **facts})

    def to_json(self) -> dict[str, Any]:
        """Returns a strict JSON object from which ``from_json`` makes an equal RunMeta (NaN and infinities become None)."""
        plain = strict_json.strict(asdict(self))
        return {"format": FORMAT, **plain}

    @classmethod
    def from_json(cls, obj: Any, source: Path | str = FILE) -> Self:
        """Reads what ``to_json`` wrote; keys that this version does not know are left out.

        Raises:
            NotARun: Something else than a run's description.
            RunTooNew: A later schema version.
        """
        if not isinstance(obj, dict) or obj.get("format") != FORMAT or not isinstance(obj.get("schema"), int):
            raise NotARun(
                f"{source} was not written by gradlens (no {FORMAT!r} format in it); give the folder of a run"
            )
        if obj["schema"] > SCHEMA_VERSION:
            raise RunTooNew(
                f"{source} has schema version {obj['schema']}, written by gradlens {obj.get('gradlens') or '?'}; this gradlens "
                f"reads versions up to {SCHEMA_VERSION}: update gradlens"
            )
        known = {f.name for f in fields(cls)}
        values = {key: _frozen(key, value) for key, value in obj.items() if key in known}
        if not isinstance(values.get("groups"), dict):
            raise RunError(f"{source} has no groups; the file is damaged")
        return cls(**values)


def read_meta(folder: Path) -> RunMeta:
    """Reads the run.json of a run's folder.

    Raises:
        NotARun: No folder, no run.json in it, or one that gradlens did not write.
        RunTooNew: A later schema version.
        RunError: A run.json that cannot be read.
    """
    path = folder / FILE
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "holds no run.json" if folder.is_dir() else "is no folder"
        raise NotARun(f"{folder} {what}; give the folder of a run (gradlens ls lists them)") from error
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    try:
        obj = json.loads(text)
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}") from error
    return RunMeta.from_json(obj, path)


def write_meta(folder: Path, meta: RunMeta, *, new: bool = False) -> None:
    """Writes run.json so that a reader sees the old or the new one, never half of it.

    Raises:
        FileExistsError: ``new``, and there is one.
        OSError: The file system refuses.
    """
    replace_file(folder / FILE, (strict_json.dumps(meta.to_json(), indent=1) + "\n").encode(), new=new)


def replace_file(path: Path, data: bytes | memoryview, *, new: bool = False) -> None:
    """Writes ``data`` as the whole file ``path``, atomically.

    Raises:
        FileExistsError: ``new``, and the file exists, perhaps made by another process a moment ago.
        OSError: The file system refuses; ``path`` is then as it was.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else a power loss can leave the new name with no content
        os.chmod(temporary, 0o666 & ~_umask())
        if new:
            os.link(temporary, path)  # unlike a rename, refuses to replace
            os.unlink(temporary)
        else:
            os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def git_commit(folder: Path | None = None) -> str | None:
    """Returns the commit of the repository that holds ``folder`` (default: the working directory), or None."""
    git = shutil.which("git")
    if git is None:
        return None
    try:
        # With its folder: to look for it, Python would enter and leave a filter of warnings, after which each warning that the
        # training has shown once is shown again.
        found = subprocess.run(
            [git, "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=False, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _umask() -> int:
    # Python can only read the mask by setting it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _frozen(key: str, value: Any) -> Any:
    return tuple(value) if isinstance(value, list) and key in _TUPLES else value


_TUPLES = frozenset({"names", "layer_names", "class_counts", "command"})
