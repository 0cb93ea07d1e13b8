"""Times the methods: they take steps in turns, round after round, so that a busy machine slows all of them alike."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

import torch
from torch import Tensor

from overhead.cases import Case, brute_force, gram_error
from overhead.methods import LensStep, Method, Refusal, Step


@dataclass
class Timing:
    """The results of a method in a case.

    Attributes:
        seconds: Round number -> seconds of its step.
        error: Largest error of the groups' inner products against float64, relative to the norms; None if it measures nothing.
        state_change: Largest difference of weights and buffers from those of a plain step, relative to each tensor's norm.
        refusal: Why it does not work in this case, or None.
        warned: Its warnings.
    """

    seconds: dict[int, float] = field(default_factory=dict)
    error: float | None = None
    state_change: float | None = None
    refusal: str | None = None
    warned: list[str] = field(default_factory=list)

    def ratio(self, base: Timing) -> float | None:
        """Returns the median ratio of this time to that of ``base`` over common rounds; None if there is no common round."""
        common = self.seconds.keys() & base.seconds.keys()
        return median(self.seconds[r] / base.seconds[r] for r in common) if common else None

    def typical(self) -> float | None:
        """Returns the median seconds of a step; None if none was timed."""
        return median(self.seconds.values()) if self.seconds else None


def said(error: Exception) -> str:
    """Returns the first sentences of an error, on one line."""
    text = re.sub(r"\s+", " ", str(error)).strip() or type(error).__name__
    return text if isinstance(error, Refusal) else f"{type(error).__name__}: {text[:240]}"


def now(device: str) -> float:
    """Returns the present seconds. Waits first until the device is idle.

    With a single thread on a CPU they are CPU time: that on the clock, without waiting for other programs.
    """
    if device != "cpu":
        torch.cuda.synchronize()
    elif torch.get_num_threads() == 1:
        return time.process_time()
    return time.perf_counter()


def time_case(
    case: Case,
    methods: Mapping[str, Method],
    rounds: Mapping[str, int],
    device: str,
    seed: int,
    progress: Callable[[str], None],
) -> tuple[dict[str, Timing], dict[str, Step]]:
    """Times all methods in turns. The first step of each is a warm-up; its numbers are compared with float64.

    ``split`` is timed after its early checks (measurements 1, 2, 4, ... 32).

    Args:
        case: The model and batch.
        methods: Name -> method. The first one is the plain step.
        rounds: Name -> how often it is timed. These rounds are spread evenly over all rounds.
        device: "cpu" or "cuda".
        seed: Seed of weights and data.
        progress: Called with a text about the progress.

    Returns:
        Name -> timing, and name -> step for the methods that work in this case.
    """
    progress(f"{case.title}: float64 brute force")
    truth = brute_force(case.setup(device, seed))
    timings = {name: Timing() for name in methods}
    steps: dict[str, Step] = {}
    expected: list[Tensor] = []
    for name, method in methods.items():
        progress(f"{case.title}: {name}")
        setup = case.setup(device, seed)
        timing = timings[name]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                step = method(setup)
                gram = step()
                steps[name] = step
            except Exception as error:  # another package may fail in any way, and the table says how
                timing.refusal = said(error)
                continue
            finally:
                timing.warned = sorted({re.sub(r"\s+", " ", str(w.message))[:300] for w in caught})
        timing.error = None if gram is None else gram_error(gram, truth)
        state = [t.detach().clone() for t in setup.model.state_dict().values() if t.is_floating_point()]
        expected = expected or state
        timing.state_change = max(map(_change, state, expected))
    for name, step in steps.items():
        if isinstance(step, LensStep):
            progress(f"{case.title}: early checks of {name}")
            step.settle()
    most = max(rounds.values())
    for number in range(most):
        progress(f"{case.title}: round {number + 1} of {most}")
        for name, step in steps.items():
            if number * rounds[name] // most != (number + 1) * rounds[name] // most:
                begun = now(device)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    step()
                timings[name].seconds[number] = now(device) - begun
    return timings, steps


def _change(state: Tensor, expected: Tensor) -> float:
    size = float(expected.norm())
    wrong = float((state - expected).norm())
    return wrong / size if size else wrong
