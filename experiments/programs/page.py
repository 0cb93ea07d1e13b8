"""Makes the Markdown page with the table of other people's programs."""

from __future__ import annotations

from typing import Any

HEAD = """# Other people's programs under `gradlens track`

Training programs of public repositories, their code unchanged, each run by `python` and by `gradlens track --every 1` in
separate processes with the same seed and small made-up data. *Same*: exit code, output (but for times), the weights and the
random generators after each optimizer step, and all final states (weights, buffers, optimizers) are the same, to the last bit.
*Error*: largest deviation of a Gram matrix from brute force on the same graph in the same precision (one loss and one backward
pass for each group), relative to the vectors' norms, over all measured steps. *Rounding*: what float32 loses by itself;
brute force's parts, with those of loss terms and classes of no group, add up to the program's own gradient but for this.
*Cost*: median processor time of a measured step over that of a plain one; by default as many steps are measured as cost 5 % of
the time together.

`python experiments/programs/run.py --list` says how to fetch the repositories; [programs.json](programs.json) has all numbers.
"""


def page(document: dict[str, Any]) -> str:
    """Returns the page.

    Args:
        document: "environment", a dict, and "programs", a list of rows of ``run.row``.
    """
    rows = document["programs"]
    facts = document["environment"]
    same = sum(not row["differences"] for row in rows)
    names = sorted({row["repository"] for row in rows})
    shown = [f"{key} {facts[key]}" for key in facts if key not in ("gpu", "cores", "threads")]
    lines = [
        HEAD,
        f"{len(rows)} programs of {len(names)} repositories; {same} the same with and without. Made with {', '.join(shown)}.",
        "",
        "| program | what it trains | steps measured | same | error | rounding | cost | remarks |",
        "|---|---|---:|---|---:|---:|---:|---|",
        *(_row(row) for row in rows),
        "",
        "## Commands",
        "",
        *(f"- {row['name']}: `{' '.join(row['command'])}`" + _options(row) for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _options(row: dict[str, Any]) -> str:
    return f", tracked with `{' '.join(row['options'])}`" if row["options"] else ""


def _row(row: dict[str, Any]) -> str:
    link = f"[{row['repository']}](https://github.com/{row['repository']}/tree/{row['commit']})"
    same = "yes" if not row["differences"] else "**no**: " + "; ".join(row["differences"]).replace("|", "/")
    error = "" if row["error"] is None else f"{row['error']:.0e}"
    rounding = f"{row['rounding']:.0e}" if row["compared"] else ""
    cost = "" if row["cost"] is None or not row["measured"] else f"{row['cost']:.1f}"
    remarks = list(row["remarks"])
    if not row["measured"]:
        reasons = [line for line in row["said"] if not line.startswith("model ")]
        remarks.append("not measured: “{}”".format(reasons[0] if reasons else ""))
    measured, remark = f"{row['measured']} of {row['steps']}", "; ".join(remarks).replace("|", "/")
    cells = (f"{row['name']}: {link}", row["title"], measured, same, error, rounding, cost, remark)
    return "| " + " | ".join(cells) + " |"
