"""Real processes for trainings that are killed and resumed."""

import contextlib
import multiprocessing
import os
import signal

# Forked from a server that has imported everything already (optimizers import torch._dynamo): that takes far longer than
# the training.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.longtail.resumable_training", "sklearn.datasets", "torch._dynamo"])


def in_a_process(target, folder, resume=False, kill_after=None):
    """Runs target(folder, resume, connection); kills it with SIGKILL once it has sent ``kill_after``; returns all it sent."""
    folder.mkdir(exist_ok=True)
    receiver, sender = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=target, args=(str(folder), resume, sender))
    process.start()
    sender.close()
    seen = []
    with contextlib.suppress(EOFError):
        while not seen or seen[-1] != kill_after:
            seen.append(receiver.recv())
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == (-signal.SIGKILL if kill_after else 0)
    return seen
