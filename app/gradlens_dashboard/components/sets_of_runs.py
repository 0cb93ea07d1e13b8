"""Sorts runs into sets that are drawn as their means: the seeds of a method, or the runs with the same value of a setting."""

from __future__ import annotations

from collections.abc import Sequence

from gradlens.analysis.run_query import ListedRun, settings_of, value_of

EACH, SEEDS, METHOD, TAG = "each", "seeds", "method", "tag"
WORDS = {EACH: "Each run", SEEDS: "Mean over seeds", METHOD: "Mean of each method", TAG: "Mean of each tag"}


def ways(runs: Sequence[ListedRun]) -> dict[str, str]:
    """Returns the ways to draw the runs, each with its words: each run, or means of sets."""
    differing = [name for name in settings_of(runs) if len({value_of(run, name) for run in runs}) > 1]
    return WORDS | {name: f"Mean by {name}" for name in differing}


def sets_of(runs: Sequence[ListedRun], way: str) -> dict[str, list[str]]:
    """Returns name of a set -> names of its runs, in the order of the runs.

    Runs differ only by their seeds if method, data set and all hyper-parameters are the same.

    Args:
        runs: The runs.
        way: A key of ``ways`` other than EACH.
    """
    sets: dict[str, list[str]] = {}
    if way == SEEDS:
        alike: dict[object, list[ListedRun]] = {}
        for run in runs:
            facts = sorted(pair for pair in run.row.settings if pair[0] != "seed")
            alike.setdefault((run.row.method, run.row.dataset, tuple(facts)), []).append(run)
        for of, name in zip(alike.values(), _names([of[0] for of in alike.values()]), strict=True):
            sets[name] = [run.name for run in of]
        return sets
    for run in runs:
        for name in _values(run, way):
            sets.setdefault(name, []).append(run.name)
    return sets


def _values(run: ListedRun, way: str) -> list[str]:
    if way == METHOD:
        return [run.row.method or "no method"]
    if way == TAG:
        return list(run.card.tags) or ["no tag"]
    value = str(value_of(run, way))
    return [f"{way} = {value}" if value else f"no {way}"]


def _names(firsts: Sequence[ListedRun]) -> list[str]:
    """Returns a name for each set: its method and data set, and the settings in which the sets of one method differ."""
    names = []
    for run in firsts:
        same = [other for other in firsts if other.row.method == run.row.method]
        differing = [name for name in settings_of(same) if len({value_of(other, name) for other in same}) > 1]
        parts = [run.row.method or "no method"]
        parts += [run.row.dataset] if len({other.row.dataset for other in firsts}) > 1 and run.row.dataset else []
        parts += [f"{name}={value_of(run, name)}" for name in differing if value_of(run, name) != ""]
        name = " ".join(parts)
        names.append(name if name not in names else f"{name} ({names.count(name) + 1})")
    return names
