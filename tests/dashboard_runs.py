"""A folder with every kind of run, for the tests of the dashboard; made of real files by the real writer."""

import json
from pathlib import Path

from gradlens.groups import ClassGroups
from gradlens.runlog import RunMeta
from gradlens.runlog.format.description import read_meta, write_meta
from gradlens.runlog.format.events import line_of
from tests.made_runs import make_run

NASTY = "<img src=x onerror=alert(1)> $x$ %{y} *b* [l](u)"


def make_folder(folder: Path) -> Path:
    """Writes balanced, long-tailed, dual-phase, per-class, failed, torn, too-new and damaged runs."""
    make_run(folder / "balanced", weights=(1.0, 1.0), meta={"method": "ce", "dataset": "digits-balanced"})
    make_run(folder / "lt", layers=3, meta={"method": "ce", "dataset": "digits"})
    evaluate(folder / "lt", (0, 100, 199), few=(0.0, 20.0, 30.5))
    make_run(
        folder / "dual", components=("classification", "retention"), update=True,
        meta={"method": "dual-phase", "dataset": "digits"},
    )  # fmt: skip
    phases(folder / "dual", I=0, II=120)
    evaluate(folder / "dual", (100, 199), few=(0.0, 55.0))
    make_run(
        folder / "classes", groups=ClassGroups.per_class(6), weights=(1.0, 0.8, 0.6, 0.4, 0.2, 0.1), noise=(0.2,),
        meta={"method": "ce", "dataset": "six"},
    )  # fmt: skip
    make_run(folder / "deep" / NASTY, steps=20, meta={"method": NASTY})
    make_run(folder / "failed", steps=30)
    rewrite(folder / "failed", status="failed", reason="ValueError: loss is NaN")
    make_run(folder / "torn", steps=100)
    log = folder / "torn" / "measurements-000.arrows"
    log.write_bytes(log.read_bytes()[:-777])
    for age, name in enumerate(("dual", "lt", "balanced", "classes", f"deep/{NASTY}", "failed", "torn")):
        rewrite(folder / name, started=1_700_000_000.0 - 1000 * age)
    (folder / "future").mkdir()
    facts = json.loads((folder / "lt" / "run.json").read_text())
    (folder / "future" / "run.json").write_text(json.dumps({**facts, "schema": 99}))
    (folder / "damaged").mkdir()
    (folder / "damaged" / "run.json").write_text("{<b>")
    (folder / "notes").mkdir()
    (folder / "notes" / "readme.txt").write_text("no run")
    return folder


def phases(run: Path, **starts: int) -> None:
    """Adds phases to a finished run."""
    for name, step in starts.items():
        log(run, kind="phase", step=step, name=name)


def evaluate(run: Path, steps: tuple[int, ...], few: tuple[float, ...]) -> None:
    """Adds evaluations in percent: many and medium rise alike, few as given."""
    for step, value in zip(steps, few, strict=True):
        log(
            run,
            kind="evaluation",
            step=step,
            split="test",
            many=90.0,
            medium=70.0,
            few=value,
            overall=(160 + value) / 3,
        )


def rewrite(run: Path, **facts: object) -> None:
    """Changes facts in the run.json of a run that nobody writes any more."""
    write_meta(run, RunMeta.from_json({**read_meta(run).to_json(), **facts}))


def log(run: Path, file: str = "events.jsonl", **event: object) -> None:
    """Adds an event to a finished run, or a line to another of its files."""
    with open(run / file, "ab") as lines:
        lines.write(line_of({"time": 0.0, "session": 0, **event}, read_meta(run).id))
