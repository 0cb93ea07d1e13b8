"""Classes of a run's groups for which the model has no output: they are counted as classes, and no sample can be of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradlens.runlog import Run

# So many groups are named.
NAMED = 3


def without_output(run: Run) -> dict[str, int]:
    """Returns how many classes of a group have no output in the model, of the groups that have such classes.

    A run says how many outputs its model had at last if ``gradlens track`` wrote it.
    """
    outputs = run.meta.extra.get("outputs")
    if not isinstance(outputs, int) or isinstance(outputs, bool) or outputs < 1:
        return {}
    beyond = {n: sum(c >= outputs for c in ids) for n, ids in zip(run.groups.names, run.groups.classes, strict=True)}
    return {name: count for name, count in beyond.items() if count}


def without_output_text(run: Run) -> str | None:
    """Says which groups have classes without an output in the model; None where there is none."""
    found = without_output(run)
    if not found:
        return None
    sizes = dict(zip(run.groups.names, map(len, run.groups.classes), strict=True))
    named = [f"{count:,} of {sizes[name]:,} classes of {name}" for name, count in list(found.items())[:NAMED]]
    more = [f"classes of {len(found) - NAMED} more groups"] if len(found) > NAMED else []
    outputs = run.meta.extra["outputs"]
    return (
        f"the model has {outputs:,} output{'' if outputs == 1 else 's'}, so {', '.join([*named, *more])} cannot occur; "
        "distortion and fractions of the classes count them"
    )
