"""The command ``gradlens diagnose``."""

from __future__ import annotations

import json
from collections.abc import Sequence

from gradlens.diagnosis.diagnose import diagnose
from gradlens.diagnosis.text import lines, to_json
from gradlens.guards.printable import printable
from gradlens.reports.lines import terminal_width, write
from gradlens.runlog import Run


def print_diagnosis(runs: Sequence[Run], *, as_json: bool = False) -> None:
    """Prints what the rules found in each run.

    Args:
        runs: The runs.
        as_json: True to print one JSON object: the path of each run with its findings.
    """
    if as_json:
        found = {str(run.path): [to_json(finding) for finding in diagnose(run)] for run in runs}
        write(json.dumps(found, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
        return
    width = min(terminal_width(), 110)
    pages = ["\n".join([*([run.name] if len(runs) > 1 else []), *lines(diagnose(run), width)]) for run in runs]
    write("\n\n".join(map(printable_lines, pages)) + "\n")


def printable_lines(text: str) -> str:
    """Returns a text without control characters, with its line ends."""
    return "\n".join(map(printable, text.split("\n")))
