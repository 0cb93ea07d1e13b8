"""Prints the end of ``gradlens train``: the numbers of the last and of the best epoch, and the distortion of each phase."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from gradlens.analysis.distortion import distortion_difference, distortion_interval
from gradlens.analysis.phase_story import stretches
from gradlens.longtail.training.best_epoch import OTHERS
from gradlens.longtail.training.combined_direction import GROUPS, combined_distortion
from gradlens.longtail.training.evaluation import SHOTS
from gradlens.longtail.training.no_interval import no_interval
from gradlens.longtail.training.training_run import RESULT, Trained
from gradlens.reports.text import difference_text, interval_text
from gradlens.runlog import Run, RunError


def print_result(console: Console, trained: Trained) -> None:
    """Prints the result of a training."""
    for line in result_lines(trained.result):
        console.print(line, highlight=False, soft_wrap=True)
    for line in () if console.quiet else distortion_lines(trained.folder):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    console.print(
        f"{trained.folder / RESULT}\ngradlens dashboard {trained.folder.parent}", soft_wrap=True, highlight=False
    )


def result_lines(result: Mapping[str, Any]) -> list[str]:
    """Returns the lines of text with the numbers of the last and of the best epoch, in percent.

    Args:
        result: Content of ``result.json``. Earlier versions of gradlens wrote the accuracies of the shots only.
    """
    lines = [
        f"{one['setting']} {one['value']:g}, chosen on {one['split']}{' itself' if one['only_split'] else ''}"
        for one in result.get("chosen", ())
    ]
    lines += [f"{split}, last epoch: {_numbers(found)}" for split, found in result["last"].items()]
    best = result["best"]
    others = best.get(OTHERS, {})
    itself = "" if others else " itself"
    lines.append(
        f"{best['split']}, best epoch ({best['epoch']}, chosen on {best['split']}{itself}): overall {best['overall']:.2f}"
    )
    return lines + [f"{split}, that epoch: {_numbers(found)}" for split, found in others.items()]


def _numbers(found: Mapping[str, float]) -> str:
    parts = [f"{name} {found[name]:.2f}" for name in (*SHOTS, "balanced") if name in found]
    if "ece" in found:
        parts.append(f"calibration error {found['ece']:.2f}")
    taken = {"tail_as_head": "tail taken for head", "head_as_tail": "head taken for tail"}
    parts += [f"{title} {found[name]:.2f}" for name, title in taken.items() if name in found]
    return "  ".join(parts)


def distortion_lines(folder: Path) -> list[str]:
    """Returns lines with the distortion of each phase, and how it changed; none if nothing was measured.

    Where the groups' gradients were combined, the first line is about the gradient before that, and the second about the
    direction that came out.

    Args:
        folder: Folder of the run.
    """
    try:
        run = Run(folder)
    except RunError:  # trained without the lens
        return []
    parts = stretches(run)
    if not parts:
        return []
    names = [f"{part.title.removeprefix(f'{run.name}, ')} " for part in parts] if len(run.phases) > 1 else [""]
    found = [distortion_interval(run, *part.span) for part in parts]
    means = [interval_text(interval, fraction=False) for interval in found]
    combined = [combined_distortion(run, *part.span) for part in parts]
    of_what = " of the gradient before it is combined" if GROUPS in run.meta.extra else ""
    after = [
        f"{name}{interval_text(interval, fraction=False)}"
        for name, interval in zip(names, combined, strict=True)
        if interval is not None
    ]
    more = [f"distortion of the combined direction, which is stepped on: {'  '.join(after)}"] if after else []
    line = f"distortion{of_what} (0 = none): " + "  ".join(name + mean for name, mean in zip(names, means, strict=True))
    if why := no_interval(run, parts, found):
        return [f"{line}  ({why})", *more]
    if len(parts) > 1:
        change = distortion_difference(run, run, parts[-1].span, parts[0].span)
        line += f"  last less first: {difference_text(change, (found[-1], found[0]), fraction=False)}"
    return [line, *more]
