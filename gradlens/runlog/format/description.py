"""RunMeta: the description of a run, and its file run.json."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from gradlens.runlog.errors import NotARun, RunError, RunTooNew
from gradlens.runlog.format import strict_json
from gradlens.runlog.format.description_fields import sound_fields
from gradlens.runlog.format.names import DESCRIPTION
from gradlens.runlog.format.regular import open_regular, reason
from gradlens.runlog.format.text_proof import BLANK, TEXT_KEY, intact, proven_text

SCHEMA_VERSION = 1
FORMAT = "gradlens-run"
FILE = DESCRIPTION
# Free bytes in run.json, for facts that are known only at the end.
SPARE_BYTES = 1024
MOST_BYTES = 64 << 20
CHANGED = "it was changed or damaged since gradlens wrote it"


@dataclass(frozen=True)
class RunMeta:
    """All that is known of a run except its measurements and events. The writer fills in the process and the status.

    Attributes:
        groups: ``ClassGroups.to_json()`` of the run's groups.
        names: Names of the V vectors ("head", "tail", "rest", "update"); () if not known yet.
        layer_names: Names of the L layers; () if layers are not logged.
        class_counts: [C] training images of each class; None if not known.
        command: The command line that started the training.
        gradlens: Version of gradlens.
        torch: Version of torch.
        git_commit: Commit of the working directory's repository.
        seed: Random seed; None if not known.
        engine: Name of the engine.
        engine_reason: Why this engine is used.
        cadence: How often the training is measured, as text ("every 10 steps").
        subset_hash: Fingerprint of the training subset.
        hyperparameters: Settings in which this training differs from others.
        dataset: Name of the data set.
        method: Name of the training method.
        status: "running", "finished", "failed" or "interrupted", as the writer wrote it last. A killed process leaves "running".
        reason: Why it failed or was interrupted.
        pid: Number of the process that writes, or wrote last.
        pid_start: Start mark of that process. A later process with the same number has another one.
        host: Machine of that process.
        started: Unix seconds of the first start.
        ended: Unix seconds of the end, or None.
        timings: Seconds and fractions of training and measuring, by name.
        extra: Other facts.
        id: The run's id, which its other files hold, too; None if the run began with a version without checksums.
        pid_namespace: The namespace of the process's number.
        files: Name of a file -> facts about it: "rows" and "digest" of a segment (None while it is written), "lines" of each
            session in the events.
        schema: Version of the files' format.
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
    id: str | None = None
    pid_namespace: str | None = None
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    schema: int = SCHEMA_VERSION

    @classmethod
    def here(cls, groups: dict[str, Any], **facts: Any) -> Self:
        """Returns the description of a run in this process. Versions, command line and git commit are found if not given.

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
        """Returns a strict JSON object that ``from_json`` reads back. NaN and infinities become None."""
        plain = strict_json.strict(asdict(self))
        return {"format": FORMAT, **plain}

    @classmethod
    def from_json(cls, obj: Any, source: Path | str = FILE, problems: list[str] | None = None) -> Self:
        """Reads an object of ``to_json``. Leaves out keys that this version does not know.

        Args:
            obj: The object.
            source: Its file, for messages.
            problems: Is extended by a text for each field that is left out because its value has the wrong type or range.

        Raises:
            NotARun: The object is no run's description.
            RunTooNew: It has a later schema version.
            RunError: It has no groups.
        """
        version = obj.get("schema") if isinstance(obj, dict) else None
        if not isinstance(obj, dict) or obj.get("format") != FORMAT or not isinstance(version, int) or version is True:
            raise NotARun(
                f"{source} was not written by gradlens (no {FORMAT!r} format in it); give the folder of a run"
            )
        if version > SCHEMA_VERSION:
            raise RunTooNew(
                f"{source} has schema version {version}, written by gradlens {str(obj.get('gradlens') or '?')[:40]}; this "
                f"gradlens reads versions up to {SCHEMA_VERSION}: update gradlens"
            )
        values, found = sound_fields(obj)
        if "groups" not in values:
            raise RunError(f"{source} has no groups; the file is damaged")
        if problems is not None:
            problems += found
        return cls(**values)


def read_meta(folder: Path) -> RunMeta:
    """Reads the run.json of a run's folder.

    Raises:
        NotARun: No folder, no run.json in it, or one that gradlens did not write.
        RunTooNew: A later schema version.
        RunError: A run.json that cannot be read.
    """
    return checked_meta(folder)[0]


def checked_meta(folder: Path) -> tuple[RunMeta, list[str]]:
    """Reads the run.json of a run's folder, and checks that it is as gradlens wrote it.

    Returns:
        The description, and a text for each thing that is wrong with it.

    Raises:
        NotARun: No folder, no run.json in it, or one that gradlens did not write.
        RunTooNew: A later schema version.
        RunError: A run.json that cannot be read.
    """
    path = folder / FILE
    try:
        with open_regular(path, MOST_BYTES) as file:
            text = file.read()
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "holds no run.json" if folder.is_dir() else "is no folder"
        near = Path("runs") / folder  # where gradlens track --name puts it
        hint = f"did you mean {near}?" if (near / FILE).is_file() else "gradlens ls lists them"
        raise NotARun(f"{folder} {what}; give the folder of a run ({hint})") from error
    except OSError as error:
        raise RunError(f"cannot read {path}: {reason(error)}") from error
    try:
        obj = strict_json.read(text)
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}") from error
    problems: list[str] = []
    meta = RunMeta.from_json(obj, path, problems)
    proven = intact(text)
    if proven is False or (proven is None and meta.id is not None):
        problems.insert(0, CHANGED)
    return meta, [f"{FILE}: {problem}" for problem in problems]


def write_meta(folder: Path, meta: RunMeta, *, new: bool = False) -> None:
    """Writes run.json so that a reader sees the old or the new one, never half of it.

    If the disk has no room for another file, writes into the old one, which has blanks for that: readers must learn what was
    lost. A reader that sees half of it then notices by the checksum.

    Raises:
        FileExistsError: ``new`` is True, and there is a run.json.
        OSError: The file system refuses.
    """
    text = strict_json.dumps({**meta.to_json(), TEXT_KEY: BLANK}, indent=1).encode()
    spare = -(-(len(text) + SPARE_BYTES) // SPARE_BYTES) * SPARE_BYTES
    try:
        replace_file(folder / FILE, _padded(text, spare), new=new)
    except OSError as error:
        if new or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        with open(folder / FILE, "r+b", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size < len(text) + 1:
                raise
            written = file.write(_padded(text, size))
            if written != size:
                raise


def _padded(text: bytes, size: int) -> bytes:
    body = text.removesuffix(b"\n}")
    return proven_text(body + b" " * (size - len(body) - 3) + b"\n}\n")


def replace_file(path: Path, data: bytes | memoryview, *, new: bool = False) -> None:
    """Writes ``data`` as the whole file ``path``, atomically.

    Raises:
        FileExistsError: ``new`` is True and the file exists; another process may have just made it.
        OSError: The file system refuses. ``path`` is then as it was.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # without it, a power loss can leave the new name with no content
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
        # git with its full path: to search for it, Python would enter and leave a filter of warnings. After that, each warning
        # that the training has shown once would be shown again.
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
