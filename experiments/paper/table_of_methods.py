"""Writes what the experiments measured of each method into the package, for `gradlens methods` and its page.

    python experiments/paper/table_of_methods.py

It reads the results of table3.py and methods.py. Each number names the file that it comes from.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from gradlens.longtail.table.records import HERE, records
from gradlens.longtail.table.text import markdown

EXPERIMENTS = Path(__file__).resolve().parents[1]
ACCURACY = ("table3", "table3_full")
# The first one that has a method is used.
LENS = ("methods", "methods_digits")
COLUMNS = ("distortion", "combined_distortion", "share", "sample_share", "fall", "accuracy")


def accuracies(name: str) -> list[dict[str, Any]]:
    """Returns the rows of a Table 3 on CIFAR100-LT."""
    path = EXPERIMENTS / "results" / name / "summary.json"
    if not path.is_file():
        return []
    rows = []
    for cell in json.loads(path.read_text())["cells"]:
        overall = cell["accuracy"]["overall"]
        rows.append(
            {
                "method": cell["method"].removesuffix(", own recipe"),
                **({"preset": cell["preset"]} if cell.get("preset") else {}),
                "imbalance": cell["imbalance"],
                "epochs": [phase["epochs"] for phase in cell["phases"]],
                "seeds": len(cell["seeds"]),
                "overall": overall["mean"],
                "std": overall["std"],
                "where": f"experiments/results/{name}/summary.json",
            }
        )
    return rows


def lens(name: str) -> dict[str, Any]:
    """Returns method -> what the lens measured in an experiment over all methods."""
    path = EXPERIMENTS / "results" / name / "summary.json"
    if not path.is_file():
        return {}
    summary = json.loads(path.read_text())
    return {
        method: {
            "dataset": summary["dataset"],
            "imbalance": summary["imbalance"],
            "seeds": len(summary["seeds"]),
            "cost": found["batches"] / summary["methods"]["ce"]["batches"],
            "phases": [
                {"name": phase["name"], "epochs": phase["epochs"]}
                | {column: _ends(phase[column]) for column in COLUMNS if phase.get(column) is not None}
                for phase in found["phases"]
            ],
            "where": f"experiments/results/{name}/summary.json",
        }
        for method, found in summary["methods"].items()
    }


def _ends(found: dict[str, Any]) -> dict[str, float | None]:
    """Returns a number and the ends of its interval, rounded; None for an end that does not exist."""
    return {
        name: float(f"{found[name]:.4g}") if math.isfinite(found[name]) else None for name in ("value", "low", "high")
    }


def main() -> None:
    """Writes measured.json, and the table at the end of the page."""
    measured: dict[str, Any] = {"accuracy": [row for name in ACCURACY for row in accuracies(name)], "lens": {}}
    for name in reversed(LENS):
        measured["lens"] |= lens(name)
    (HERE / "measured.json").write_text(json.dumps(measured, indent=1) + "\n")
    page = HERE / "README.md"
    page.write_text(page.read_text().partition("\n| ")[0].rstrip() + f"\n\n{markdown(records())}")


if __name__ == "__main__":
    main()
