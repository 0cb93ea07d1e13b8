"""Finds classes of a run's groups for which the model has no output. They count as classes, but can have no samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradlens.runlog import Run

# At most this many groups are named.
NAMED = 3


def without_output(run: Run) -> dict[str, int]:
    """Returns group -> number of its classes without an output in the model. Groups without such classes are left out.

    The last number of outputs of the model is only known if ``gradlens track`` wrote the run.
    """
    outputs = run.meta.extra.get("outputs")
    if run.groups.members is not None:
        return {}
    if not isinstance(outputs, int) or isinstance(outputs, bool) or outputs < 1:
        return {}
    beyond = {n: sum(c >= outputs for c in ids) for n, ids in zip(run.groups.names, run.groups.classes, strict=True)}
    return {name: count for name, count in beyond.items() if count}


def without_output_text(run: Run) -> str | None:
    """Returns a text that says which groups have classes without an output in the model; None if there are none."""
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
