"""python -m tests.e2e.support_table [NOTES]: makes the table of training styles from what their tests noted.

With a folder of notes, those of all styles are replaced, and a style whose test noted nothing is in the table as one that was not
shown to work; with --some only the styles in the folder change. Without, the table is written anew from the notes and from what
``experiments/bench_styles.py`` measured.
"""

from __future__ import annotations

import argparse
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.e2e.frameworks import FRAMEWORKS
from tests.e2e.styles import STYLES

RESULTS = Path(__file__).resolve().parents[2] / "experiments" / "results"
NOTES, COSTS, TABLE = (RESULTS / name for name in ("support.json", "bench_styles.json", "SUPPORT.md"))

AREAS = {
    "loop": "Training loops",
    "loss": "Losses",
    "data": "Data",
    "framework": "Frameworks",
    "distributed": "Several processes",
}
PACKAGES = ("torch", "lightning", "transformers", "accelerate", "timm")
HEAD = """# What `gradlens track` follows

Each row is a training program, written as its authors would and without knowledge of gradlens, that runs twice as a real
process: under `python` and under `gradlens track`, every step measured. *Bit-identical*: weights and output of the two are the
same to the last bit. *Error*: largest deviation of a Gram matrix of group gradients from an oracle in float64 (one backward
pass for each group over the samples' own terms of the loss), relative to the vectors' norms. What runs in reduced precision is
held to an oracle that does so, too: its error is that precision's rounding.
"""
TIME = """*Time*: the training loop's time under the default budget over that of the untracked one, median over pairs of runs with
its 95 % interval ([numbers](bench_styles.json), which also say how each style was measured). Most of these trainings have
steps of a millisecond or less, in which whatever is not training weighs most.
"""


def read_notes(folder: Path) -> dict[str, dict[str, Any]]:
    """Returns the notes of the tests by name."""
    notes = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return {note["name"]: note for note in notes}


def table(notes: dict[str, dict[str, Any]], costs: dict[str, tuple[float, float, float]], made: str) -> str:
    """Returns the Markdown text.

    Args:
        notes: Notes by name of the style.
        costs: Time tracked over untracked and the ends of its interval, by name.
        made: With what the notes were made.
    """
    titles = {style.name: (style.area, style.title) for style in STYLES.values()}
    titles |= {name: (case.area, case.title) for name, case in FRAMEWORKS.items()}
    titles |= {name: (note["area"], note["title"]) for name, note in notes.items()}
    shown = sum(name in notes for name in titles)
    lines = [
        HEAD,
        *([TIME] if costs else []),
        f"Made by `make support-table`: {shown} of {len(titles)} styles; {made}.",
    ]
    for area, heading in AREAS.items():
        lines += [
            "",
            f"## {heading}",
            "",
            "| style | tracked | error | bit-identical | time | engine |",
            "|---|---|---:|---|---:|---|",
        ]
        own = [name for name, (of, _) in titles.items() if of == area]
        lines += [_row(titles[name][1], notes.get(name), costs.get(name)) for name in own]
    return "\n".join(lines) + "\n"


def _row(title: str, note: dict[str, Any] | None, cost: tuple[float, float, float] | None) -> str:
    time = "" if cost is None else "{:.2f} [{:.2f}, {:.2f}]".format(*cost)
    if note is None:
        return f"| {title} | not shown: its test failed or did not run | | | {time} | |"
    said = note.get("says") or note["instead"]
    tracked = ("yes" if note["tracked"] else "no") + (f"; says “{said}”" if said else "")
    error = "" if note["exact"] is None else f"{note['exact']:.0e}"
    identical = "" if note["identical"] is None else "yes" if note["identical"] else "**no**"
    return f"| {title} | {tracked} | {error} | {identical} | {time} | {note.get('engine', '')} |"


def main() -> None:
    """Writes the notes and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notes", type=Path, nargs="?", help="folder that the tests were given in GRADLENS_SUPPORT")
    parser.add_argument(
        "--some", action="store_true", help="the folder holds some styles only: keep the notes of others"
    )
    args = parser.parse_args()
    known = json.loads(NOTES.read_text()) if NOTES.exists() else {"made": "", "notes": {}}
    if args.notes is not None:
        versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
        found = read_notes(args.notes)
        known = {
            "made": known["made"] if args.some else f"Python {platform.python_version()}, {versions}, CPU",
            "notes": known["notes"] | found if args.some else found,
        }
        NOTES.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    costs = json.loads(COSTS.read_text())["styles"] if COSTS.exists() else {}
    ratios = {name: (cost["ratio"], cost["low"], cost["high"]) for name, cost in costs.items()}
    TABLE.write_text(table(known["notes"], ratios, known["made"]), encoding="utf-8")


if __name__ == "__main__":
    main()
