"""Prints the results of the overhead benchmark as tables."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

# An error above this is no rounding error: the numbers are wrong.
WRONG = 1e-3


def print_result(console: Console, result: dict[str, Any]) -> None:
    """Prints a table for each case, below it why methods do not work in it, and at the end a table of the targets."""
    for case in result["cases"].values():
        _print_case(console, case)
    table = Table("", "", "at most", "", title="Targets", title_justify="left")
    for row in result["targets"]:
        verdict = "[green]met" if row["met"] else "[red]missed"
        table.add_row(row["name"], _number(row["value"]), _number(row["limit"]), verdict)
    console.print(table)


def _print_case(console: Console, case: dict[str, Any]) -> None:
    table = Table(title=f"{case['title']}, batch {case['batch']}", title_justify="left")
    table.add_column("")
    for heading in ("ms", "time", "of 2 backward", "memory", "error", "state"):
        table.add_column(heading, justify="right")
    refusals = []
    for name, method in case["methods"].items():
        if method["refusal"] is not None:
            refusals.append(f"[bold]{name}[/bold] refuses: {method['refusal']}")
            table.add_row(name, "refuses", *[""] * 5)
            continue
        table.add_row(
            name,
            "" if method["seconds"] is None else f"{1000 * method['seconds']:.0f}",
            _ratio(method["time_ratio"]),
            _ratio(method["over_two_backwards"]),
            _ratio(method["peak_ratio"]),
            _error(method["error"]),
            _error(method["state_change"]),
        )
    console.print(table)
    for line in refusals:
        console.print(f"  {line}", highlight=False)
    for name, method in case["methods"].items():
        if "checked_time_ratio" in method:
            console.print(
                f"  {name}: {method['checked_time_ratio']:.2f} x plain on the steps with the full check, every 50th"
            )


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _error(value: float | None) -> str:
    if value is None:
        return ""
    if value > WRONG:
        return f"[red]{value:.1e}"
    return "0" if value == 0 else f"{value:.1e}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 0.01 else f"{value:.3f}"
