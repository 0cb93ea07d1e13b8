"""The end of a tracked training: closes the run with its status, and prints the table or why nothing was measured."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from typing import TYPE_CHECKING

from gradlens.tracking.launch.run_folder import remove_if_empty
from gradlens.tracking.messages import say

if TYPE_CHECKING:
    from gradlens.tracking.watch.tracker import Tracker

# The file that makes a folder a run. It is named here because the module that defines it imports pyarrow.
RUN = "run.json"
WHAT_TO_ADD = (
    "add gradlens.observe(outputs, labels) before loss.backward() (outputs [batch, classes], labels [batch] of class ids), "
    "or use gradlens.Lens"
)
PARTIAL = (
    "each backward pass had gradient=, create_graph=True, or inputs= with some of the trained parameters; gradlens measures the "
    "backward pass of a scalar loss for all of them: write (losses * gradient).sum().backward() and leave inputs= out"
)
JACOBIANS = (
    "torch.autograd.grad was given grad_outputs=, create_graph=True or tensors inside the network; gradlens does not measure "
    "such calls: it measures loss.backward(), or torch.autograd.grad of a scalar loss for all trained parameters"
)
TORCHJD = (
    "TorchJD (mtl_backward, backward, jac_to_grad) differentiates each loss by itself and combines the gradients by its own "
    "rule, so the result is no sum of the groups' gradients; gradlens.group_gradients(model, loss, labels, groups) shows those "
    "of one loss"
)


class Ending:
    """Closes the run when the process ends: after the script's threads, and after its traceback was printed.

    Attributes:
        tracker: The tracker of the script; None: there is nothing to close.
    """

    def __init__(self) -> None:
        self.tracker: Tracker | None = None
        self._status: tuple[str, str | None] = ("finished", None)
        self._pid = os.getpid()
        self._done = False
        atexit.register(self.finish)

    def attached(self) -> None:
        """Registers ``finish`` again, so that it runs before the log's exit function: the last registered one runs first."""
        atexit.register(self.finish)

    def program_ended(self, error: BaseException | None) -> None:
        """Keeps how the script has ended.

        Args:
            error: The exception that it raised, SystemExit included; None if it ran to its end.
        """
        self._status = _status(error)

    def finish(self) -> None:
        """Closes the run and prints the table, or prints why nothing was measured. A second call does nothing."""
        tracker = self.tracker
        if tracker is None or self._done or os.getpid() != self._pid:
            return
        self._done = True
        try:
            tracker.stop()
            if tracker.options.follows:
                if tracker.lens is not None:
                    tracker.lens.close(*self._status)
                return
            if tracker.lens is None:
                if (tracker.folder / RUN).exists():
                    return  # another process, which the script has started, has measured
                remove_if_empty(tracker.folder)
                say(why_nothing(tracker, self._status[0]))
                return
            beside = tracker.trained_beside()
            if beside is not None:
                tracker.lens.event("other models", message=beside)
            tracker.lens.close(*self._status)
            from gradlens.tracking.launch.summary import print_summary

            print_summary(tracker.folder)
            if beside is not None:
                say(beside)
        except Exception as error:  # the training is over, and its exit code must stay
            say(f"the end of the run could not be written or shown: {type(error).__name__}: {error}")
        finally:
            if self._status[0] == "interrupted":
                _remember_interrupt()


def why_nothing(tracker: Tracker, status: str) -> str:
    """Returns the line for a script in whose training nothing was measured."""
    if tracker.faults.failure is not None:
        return f"nothing was measured: {tracker.faults.failure}"
    if tracker.attaching is not None and tracker.attaching.attachment is not None:
        return tracker.attaching.attachment.search.unfinished()
    if not tracker.seen.torch:
        return "nothing was measured: the program did not import torch"
    from gradlens.tracking.find.compiled_loss import functions, loss_line, step_line  # torch is there by now

    if tracker.seen.compiled:
        return f"nothing was measured: {loss_line()}"
    if not tracker.seen.backward and (compiled := functions()) is not None:
        return f"nothing was measured: {step_line(compiled)}"
    if not tracker.seen.backward:
        ended = "" if status == "finished" else f" before it {status}"
        return f"nothing was measured: no backward pass ran in this process{ended}{_instead_of_backward(tracker)}"
    if tracker.seen.partial and not tracker.seen.whole:
        return f"nothing was measured: {PARTIAL}"
    if tracker.notices.said:  # what was said of the losses is the cause
        return f"nothing was measured: {'; and '.join(tracker.notices.said.values())}{_option(tracker)}"
    return f"nothing was measured: no cross_entropy or nll_loss call led to a backward pass; {WHAT_TO_ADD}{_option(tracker)}"


def _option(tracker: Tracker) -> str:
    """Returns the option that names the labels, if the batches of the script have columns that may hold them; else ""."""
    columns = [] if tracker.batches is None else tracker.batches.columns
    if not columns or tracker.options.labels is not None:
        return ""
    one, rest = columns[0], "".join(f", or {path}" for path in columns[1:3])
    return f"; or, if {one}{rest} holds the classes, track with --labels {one}"


def _instead_of_backward(tracker: Tracker) -> str:
    """Returns how a script that never calls backward has computed gradients; "" if it has computed none."""
    if not tracker.seen.other_gradients:
        return ""
    return f"; {TORCHJD if 'torchjd.autojac' in sys.modules else JACOBIANS}"


def _remember_interrupt() -> None:
    """Lets the process end by SIGINT, as ``python`` does after a KeyboardInterrupt that nothing caught.

    Python remembers such an interrupt, and forgets it when a string of code is executed next. Imports do that while the run is
    closed and shown (dataclasses and named tuples). Then the exit status would be 1, and a shell script would go on. One more
    interrupt inside a string of code makes Python remember it again.
    """
    with contextlib.suppress(KeyboardInterrupt):
        exec("raise KeyboardInterrupt")


def _status(error: BaseException | None) -> tuple[str, str | None]:
    if error is None:
        return "finished", None
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "KeyboardInterrupt"
    if isinstance(error, SystemExit):
        if error.code in (None, 0):
            return "finished", None
        code = f"exit code {error.code}" if isinstance(error.code, int) else str(error.code)
        return "failed", code
    return "failed", f"{type(error).__name__}: {error}"
