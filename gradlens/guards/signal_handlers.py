"""Tells the exceptions that a signal handler of the script raises from errors of gradlens."""

from __future__ import annotations

import signal


def from_handler(error: BaseException) -> bool:
    """Says whether a signal handler raised this exception.

    Python runs the handler of a signal between any two instructions, which may be in the middle of gradlens' own code. What
    it raises (an alarm's TimeoutError, say) is meant for the script and must reach it.
    """
    handlers = (signal.getsignal(number) for number in signal.valid_signals())
    codes = {getattr(getattr(handler, "__func__", handler), "__code__", None) for handler in handlers} - {None}
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in codes:
            return True
        trace = trace.tb_next
    return False
