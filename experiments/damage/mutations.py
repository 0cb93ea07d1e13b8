"""Mutations of the folder of a run: random damages, such as disks, copies, editors and other programs cause.

Each function damages the folder ``run``, and returns a text that says how. ``other`` is the folder of another sound run.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gradlens.runlog.format.description import read_meta
from gradlens.runlog.format.events import LINE, line_of
from gradlens.runlog.format.text_proof import proven_text

Random = np.random.Generator
WRONG = (None, True, -1, 10**30, 1e300, "x", "\x1b[2J", [], {}, [[]], {"a": {}}, "1", 0.5, [None], {"x": "y"})
MARKS = 200_000


def files_of(run: Path) -> list[Path]:
    """Returns the files of a run, sorted by name."""
    return sorted(path for path in run.iterdir() if path.is_file())


def pick(rng: Random, paths: list[Path]) -> Path:
    """Returns one of the paths, each equally likely."""
    return paths[int(rng.integers(len(paths)))]


def flip(rng: Random, run: Path, other: Path) -> str:  # noqa: ARG001
    """Flips one bit of a file."""
    path = pick(rng, files_of(run))
    data = bytearray(path.read_bytes())
    at, bit = int(rng.integers(len(data))), int(rng.integers(8))
    data[at] ^= 1 << bit
    path.write_bytes(data)
    return f"{path.name}: bit {bit} of byte {at}"


def cut(rng: Random, run: Path, other: Path) -> str:  # noqa: ARG001
    """Cuts off the end of a file, or all of it."""
    path = pick(rng, files_of(run))
    size = int(rng.choice([0, int(rng.integers(path.stat().st_size))]))
    os.truncate(path, size)
    return f"{path.name} cut to {size}"


def delete(rng: Random, run: Path, other: Path) -> str:  # noqa: ARG001
    """Deletes a file."""
    path = pick(rng, files_of(run))
    path.unlink()
    return f"{path.name} deleted"


def swap(rng: Random, run: Path, other: Path) -> str:  # noqa: ARG001
    """Swaps two files of the same kind."""
    kind = str(rng.choice(["measurements-*.arrows", "probes-*.arrow"]))
    a, b = rng.choice(sorted(map(str, run.glob(kind))), 2, replace=False)
    held = run / "held"
    shutil.move(a, held)
    shutil.move(b, a)
    shutil.move(held, b)
    return f"{Path(a).name} and {Path(b).name} swapped"


def foreign(rng: Random, run: Path, other: Path) -> str:
    """Replaces a file with that of another run."""
    path = pick(rng, [path for path in files_of(run) if (other / path.name).exists()])
    shutil.copy(other / path.name, path)
    return f"{path.name} of another run"


def duplicate(rng: Random, run: Path, other: Path) -> str:  # noqa: ARG001
    """Copies a segment to another number, which may replace another segment."""
    source = pick(rng, sorted(run.glob("measurements-*.arrows")))
    number = int(rng.integers(6))
    target = run / f"measurements-{number:03d}.arrows"
    if target != source:
        shutil.copy(source, target)
    return f"{source.name} as {target.name}"


def garbage(rng: Random, run: Path, other: Path) -> str:  # noqa: ARG001
    """Overwrites, inserts, removes or appends bytes of a file."""
    path = pick(rng, files_of(run))
    data = path.read_bytes()
    start, size = int(rng.integers(len(data))), int(rng.integers(1, 5000))
    noise = [bytes(size), rng.bytes(size), b"\xff" * size][int(rng.integers(3))]
    how = str(rng.choice(["over", "in", "out", "end"]))
    data = {
        "over": data[:start] + noise[: len(data) - start] + data[start + size :],
        "in": data[:start] + noise + data[start:],
        "out": data[:start] + data[start + size :],
        "end": data + noise,
    }[how]
    path.write_bytes(data)
    return f"{path.name}: {size} bytes {how} at {start}"


def batches(rng: Random, run: Path, other: Path) -> str:  # noqa: ARG001
    """Removes, repeats or swaps whole batches. Arrow then still finds the file valid."""
    import pyarrow as pa

    path = pick(rng, sorted(run.glob("measurements-*.arrows")))
    ends = []
    with pa.memory_map(str(path)) as file:
        reader = pa.ipc.open_stream(file)
        ends.append(file.tell())
        ends += [file.tell() for _ in reader]
    data = path.read_bytes()
    parts = [data[a:b] for a, b in itertools.pairwise(ends)]
    i, j = (int(x) for x in rng.integers(len(parts), size=2))
    how = str(rng.choice(["out", "twice", "swapped"]))
    if how == "out":
        del parts[i]
    elif how == "twice":
        parts.insert(j, parts[i])
    else:
        parts[i], parts[j] = parts[j], parts[i]
    path.write_bytes(data[: ends[0]] + b"".join(parts) + data[ends[-1] :])
    return f"{path.name}: batch {i} {how} ({j})"


def wrong_type(rng: Random, run: Path, other: Path) -> str:  # noqa: ARG001
    """Gives a field of run.json a wrong value with a matching checksum, as a faulty version of gradlens might write it."""
    path = run / "run.json"
    known = json.loads(path.read_text())
    name = str(rng.choice(sorted(known.keys() - {"gradlens_check"})))
    value = WRONG[int(rng.integers(len(WRONG)))]
    inner = known[name]
    if isinstance(inner, dict) and inner and rng.random() < 0.5:
        key = str(rng.choice(sorted(inner)))
        inner[key] = value
        name = f"{name}.{key}"
    else:
        known[name] = value
    path.write_bytes(proven_text(json.dumps(known).encode()))
    return f"{name} = {value!r}"


def wrong_event(rng: Random, run: Path, other: Path) -> str:  # noqa: ARG001
    """Gives a field of an event a wrong value with a matching checksum."""
    path, meta = run / "events.jsonl", read_meta(run)
    lines = [line for line in path.read_bytes().splitlines(keepends=True) if line.strip()]
    at = int(rng.integers(len(lines)))
    event = json.loads(lines[at])
    name = str(rng.choice(sorted(event.keys() - {"gradlens_check", LINE})))
    event[name] = WRONG[int(rng.integers(len(WRONG)))]
    lines[at] = line_of(event, meta.id)
    path.write_bytes(b"".join(lines))
    return f"event {at}: {name} = {event[name]!r}"


def lines(rng: Random, run: Path, other: Path) -> str:  # noqa: ARG001
    """Removes, repeats or swaps lines of events.jsonl."""
    path = run / "events.jsonl"
    found = [line for line in path.read_bytes().splitlines(keepends=True) if line.strip()]
    i, j = (int(x) for x in rng.choice(len(found), 2, replace=False))
    how = str(rng.choice(["out", "twice", "swapped"]))
    if how == "out":
        del found[i]
    elif how == "twice":
        found.insert(j, found[i])
    else:
        found[i], found[j] = found[j], found[i]
    path.write_bytes(b"".join(found))
    return f"line {i} {how} ({j})"


def special(rng: Random, run: Path, other: Path) -> str:  # noqa: ARG001
    """Replaces a file with a pipe, a device, an endless link or a folder."""
    path = pick(rng, files_of(run))
    path.unlink()
    how = str(rng.choice(["pipe", "device", "link", "folder"]))
    if how == "pipe":
        os.mkfifo(path)
    elif how == "device":
        path.symlink_to("/dev/zero")
    elif how == "link":
        path.symlink_to(path)
    else:
        path.mkdir()
    return f"{path.name} is a {how}"


def huge(rng: Random, run: Path, other: Path) -> str:  # noqa: ARG001
    """Makes a file 20 GB long: with zeros only, or with zeros after its content. On disk most of it is a hole."""
    path = pick(rng, files_of(run))
    if rng.random() < 0.5:
        os.truncate(path, 0)
    os.truncate(path, 20 << 30)
    return f"{path.name} has 20 GB"


def deep(rng: Random, run: Path, other: Path) -> str:  # noqa: ARG001
    """Writes very deeply nested JSON into run.json or events.jsonl."""
    depth = int(rng.choice([100, 900, 100_000]))
    nested = b"[" * depth + b"]" * depth
    if rng.random() < 0.5:
        (run / "run.json").write_bytes(b'{"format": "gradlens-run", "schema": 1, "extra": ' + nested + b"}")
        return f"run.json nested {depth} deep"
    with open(run / "events.jsonl", "ab") as file:
        file.write(b'{"kind": "mark", "step": 1, "text": ' + nested + b"}\n")
    return f"an event nested {depth} deep"


def many_marks(rng: Random, run: Path, other: Path) -> str:  # noqa: ARG001
    """Adds very many marks."""
    run_id = read_meta(run).id
    with open(run / "events.jsonl", "ab") as file:
        for number in range(MARKS):
            file.write(line_of({"kind": "mark", "step": number % 350, "session": 1, "text": "x"}, run_id))
    return f"{MARKS} marks"


# Mutation -> how often it is drawn, relative to the others. Mutations that are always slow are rare.
KINDS: dict[Callable[[Random, Path, Path], str], float] = {
    flip: 8, cut: 3, delete: 2, swap: 1, foreign: 2, duplicate: 2, garbage: 4, batches: 3, wrong_type: 6, wrong_event: 3,
    lines: 2, special: 3, huge: 1, deep: 1, many_marks: 0.1,
}  # fmt: skip
