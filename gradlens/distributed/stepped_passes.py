"""The processes decide together whether the optimizer steps on the gradients of several backward passes."""

from __future__ import annotations

import torch

from gradlens.distributed.team import Team
from gradlens.measure.meter import StepMeter
from gradlens.measure.processes import StepDropped
from gradlens.measure.stepped_gradient import SetAside
from gradlens.measure.stepped_passes import Combination, step_together


def combination(here: SetAside, meter: StepMeter, team: Team) -> Combination | None:
    """Says whether the optimizer steps on a combination of the gradients of all passes; see ``step_together``.

    It compares means over the processes. A script may average the gradients of each pass before it combines them, or each
    process combines its own gradients and the results are averaged: the means are right for both.

    All processes must call it, if one of them has set a pass aside.

    Args:
        here: What this process has set aside.
        meter: The meter of this step.
        team: The processes.

    Returns:
        The comparison with the sum of all passes' gradients, the same in each process; None if it is no such combination.

    Raises:
        StepDropped: The processes have set different passes aside, or come to different results.
    """
    number = 0 if here.stepped is None else len(here.passes)
    facts = torch.zeros(2 + len(meter.params), dtype=torch.float64)
    facts[0], facts[1] = number, number**2
    facts[[2 + i for i in here.taken_away]] = 1
    numbers, squares, *there = team.sum(facts).tolist()
    if here.stepped is None or numbers**2 != team.size * squares:
        raise StepDropped("the processes zeroed .grad between different backward passes")
    at = [i for i, some in enumerate(there) if some]
    together = None
    if at:
        products = meter.products([[vector[i] for i in at] for vector in (*here.passes, here.stepped)], at)
        together = step_together(products, [meter.params[i] for i in at])
    agreed = float(team.sum(torch.tensor(float(together is not None), dtype=torch.float64)))
    if agreed not in (0, team.size):
        raise StepDropped("the processes step on different combinations of their passes")
    return together
