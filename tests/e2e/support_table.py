"""python -m tests.e2e.support_table NOTES FILE: makes the table of training styles from what their tests noted.

A style whose test noted nothing is in the table, too: as one that was not shown to work.
"""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.e2e.styles import STYLES

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
pass for each group over the samples' own terms of the loss), relative to the vectors' norms. Bfloat16 autocast is compared
with the float32 model, hence its error.
"""


def read_notes(folder: Path) -> dict[str, dict[str, Any]]:
    """Returns the notes of the tests by name."""
    notes = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return {note["name"]: note for note in notes}


def table(notes: dict[str, dict[str, Any]]) -> str:
    """Returns the Markdown text."""
    titles = {style.name: (style.area, style.title) for style in STYLES.values()}
    titles |= {name: (note["area"], note["title"]) for name, note in notes.items()}
    shown = sum(name in notes for name in titles)
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    lines = [
        HEAD,
        f"Made by `make support-table`: {shown} of {len(titles)} styles; Python {platform.python_version()}, {versions}, CPU.",
    ]
    for area, heading in AREAS.items():
        lines += [
            "",
            f"## {heading}",
            "",
            "| style | tracked | error | bit-identical | engine |",
            "|---|---|---:|---|---|",
        ]
        own = [name for name, (of, _) in titles.items() if of == area]
        lines += [_row(titles[name][1], notes.get(name)) for name in own]
    return "\n".join(lines) + "\n"


def _row(title: str, note: dict[str, Any] | None) -> str:
    if note is None:
        return f"| {title} | not shown: its test failed or did not run | | | |"
    tracked = "yes" if note["tracked"] else f"no; says “{note['instead']}”"
    error = "" if note["exact"] is None else f"{note['exact']:.0e}"
    identical = "" if note["identical"] is None else "yes" if note["identical"] else "**no**"
    return f"| {title} | {tracked} | {error} | {identical} | {note.get('engine', '')} |"


def main() -> None:
    """Writes the table."""
    notes, file = (Path(argument) for argument in sys.argv[1:])
    file.write_text(table(read_notes(notes)), encoding="utf-8")


if __name__ == "__main__":
    main()
