"""The table of methods as text: a row for each method, and all that is known of one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gradlens.longtail.methods.method import Method
from gradlens.longtail.table.records import IMBALANCE, Published, Record

HEADER = (
    "method",
    "paper",
    "exact",
    "phases",
    "cost",
    "here",
    "published",
    "its protocol",
    "tail's share",
)
NOTE = (
    f"Accuracies: top-1 in percent, CIFAR100-LT with imbalance {IMBALANCE}, ResNet-32; here: the last epoch. Cost: batches that "
    "are trained, beside those of ce; a batch takes longer with three experts (ride, sade) and with a backward pass for each "
    "group but one (pcgrad, cagrad, gradvac). Tail's share: of the update / of the samples, through the phases"
)


def note(records: Sequence[Record]) -> str:
    """Returns what the columns mean, and on which data the lens measured phases, cost and shares."""
    data = {
        f"{r.lens['dataset']}, imbalance {r.lens['imbalance']:g}, {_seeds(r.lens['seeds'])}" for r in records if r.lens
    }
    return f"{NOTE}. Phases, cost and shares were measured on: {'; '.join(sorted(data)) or 'nothing yet'}"


LENS = {
    "distortion": "distortion",
    "combined_distortion": "distortion of the combined direction",
    "share": "tail's share of the update",
    "sample_share": "tail's share of the samples",
    "fall": "fall of the tail's loss / the head's",
    "accuracy": "tail's accuracy (%)",
}


def row(record: Record, *, short: bool = False) -> tuple[str, ...]:
    """Returns the cells of a method, in the order of ``HEADER``.

    Args:
        record: The method.
        short: True to leave out in what the published training differs.
    """
    published = _main(record.published)
    number = "-" if published is None or IMBALANCE not in published.cifar else f"{published.cifar[IMBALANCE]:.1f}"
    exact = "not in the lab" if not record.there else "approximate" if record.approximate else "yes"
    phases = ", ".join(phase["name"] for phase in record.lens.get("phases", ())) or "-"
    cost = f"{record.lens['cost']:.2f}" if record.lens else "-"
    protocol = (
        "-" if published is None else published.length or "-" if short else f"{published.by}: {published.protocol}"
    )
    return (record.name, record.paper, exact, phases, cost, _here(record), number, protocol, _shares(record))


def lines(record: Record) -> list[str]:
    """Returns all that is known of a method, line by line."""
    found = [f"{record.name}: {record.summary or 'not in the lab'}", f"paper: {record.paper}"]
    if record.approximate:
        found.append(f"approximate: {record.approximate}")
    for number in record.published:
        values = [f"{value:.2f} (imbalance {imbalance})" for imbalance, value in number.cifar.items()]
        values += [f"{value:.1f} ({where})" for where, value in number.other.items()]
        shown = ", ".join(values) or "no number"
        parts = (f"published by {number.by}: {shown}", number.protocol, f"seen in: {number.seen_in}")
        found.append("; ".join(part for part in parts if part))
    found += [f"here: {_accuracy(measured)}, {measured['where']}" for measured in record.accuracy]
    if record.lens:
        lens = record.lens
        found.append(
            f"lens: {lens['dataset']}, imbalance {lens['imbalance']:g}, {_seeds(lens['seeds'])}, cost {lens['cost']:.2f} of ce, "
            f"{lens['where']}"
        )
        for phase in lens["phases"]:
            known = [f"{title} {_interval(phase[name])}" for name, title in LENS.items() if phase.get(name)]
            found.append(
                f"  phase {phase['name']} ({phase['epochs']} epochs): {'; '.join(known) or 'nothing is trained'}"
            )
    return found


def setting_lines(method: Method) -> list[str]:
    """Returns the settings of a method with values and sources, and its presets, line by line. Those of data sets are others."""
    found = ["settings (--set NAME=VALUE), beside those of the data set such as epochs, batch and learning_rate:"]
    for name, setting in method.settings.items():
        value = list(setting.value) if isinstance(setting.value, tuple) else setting.value
        found.append(f"  {name}={json.dumps(value)}: {setting.source}")
    presets = [f"presets (--preset NAME): {', '.join(method.presets)}"] if method.presets else []
    return found + presets


def markdown(records: Sequence[Record]) -> str:
    """Returns the table in Markdown."""
    rows = [HEADER, ("---",) * len(HEADER), *(row(record) for record in records)]
    return (
        "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in rows)
        + f"\n\n{note(records)}.\n"
    )


def _main(published: Sequence[Published]) -> Published | None:
    """Returns the published number that the table shows: the first one on CIFAR100-LT, or else the first one."""
    return next((number for number in published if IMBALANCE in number.cifar), published[0] if published else None)


def _here(record: Record) -> str:
    """Returns the accuracy of the longest training that was measured here; of two that are as long, that of the own recipe."""
    own = [measured for measured in record.accuracy if measured["imbalance"] == float(IMBALANCE)]
    if not own:
        return "-"
    return _accuracy(max(own, key=lambda measured: (sum(measured["epochs"]), "preset" in measured)))


def _accuracy(measured: Mapping[str, Any]) -> str:
    epochs = " + ".join(map(str, measured["epochs"]))
    spread = "" if measured["std"] is None else f" +- {measured['std']:.1f}"
    at = "" if measured["imbalance"] == float(IMBALANCE) else f"imbalance {measured['imbalance']:g}, "
    recipe = f", preset {measured['preset']}" if "preset" in measured else ""
    return f"{measured['overall']:.1f}{spread} ({at}{epochs} epochs, {_seeds(measured['seeds'])}{recipe})"


def _seeds(number: int) -> str:
    return "one seed" if number == 1 else f"{number} seeds"


def _shares(record: Record) -> str:
    phases = [phase for phase in record.lens.get("phases", ()) if phase.get("share")]
    return ", ".join(f"{p['share']['value']:.2f} / {p['sample_share']['value']:.2f}" for p in phases) or "-"


def _interval(found: Mapping[str, Any]) -> str:
    ends = "" if found["low"] is None else f" [{found['low']:.3g}, {found['high']:.3g}]"
    return f"{found['value']:.3g}{ends}"
