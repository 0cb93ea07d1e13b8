"""A Python that has read torch already: it starts programs by forking, each in seconds less than a fresh interpreter.

Run as a program with the path of a socket; ``processes.py`` asks it. A program finds torch not imported, as in a fresh
interpreter: its own import takes effect (finders see it), only that nothing is read from disk. It ends when its input does.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib.util
import json
import os
import random
import select
import signal
import socket
import sys
import threading
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

import torch


class Kept(MetaPathFinder, Loader):
    """Hands out a package that was imported before and then forgotten."""

    def __init__(self, name: str) -> None:
        self._name = name
        own = [key for key in sys.modules if key == name or key.startswith(name + ".")]
        self._modules = {key: sys.modules.pop(key) for key in own}
        self._spec: Any = self._modules[name].__spec__
        sys.meta_path.insert(0, self)

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        """Finds the package; what is in it comes along."""
        if fullname != self._name or not self._modules:
            return None
        return ModuleSpec(fullname, self, origin=self._spec.origin, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Returns the package as it was."""
        return self._modules[self._name]

    def exec_module(self, module: ModuleType) -> None:
        """Makes its modules known again."""
        sys.modules.update(self._modules)
        module.__spec__, module.__loader__ = self._spec, self._spec.loader
        self._modules = {}


def serve(address: str) -> dict[str, Any]:
    """Forks for each request; returns in the process of a program what it is to run.

    A request is a line of JSON (program, cwd, env, out, err: the two are paths); the answer is the number of the process, and,
    once it has ended, its exit code in a line each.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                os._exit(0)
            caller, _ = listener.accept()
            if os.fork():
                caller.close()
                continue
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            job: dict[str, Any] = json.loads(caller.makefile().readline())
            pid = os.fork()
            if not pid:
                caller.close()
                return job
            caller.sendall(f"{pid}\n".encode())
            _, status = os.waitpid(pid, 0)
            caller.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os._exit(0)


def become(job: dict[str, Any]) -> NoReturn:
    """Makes this process that of the program, runs it as Python does, and ends."""
    for path, number in ((os.devnull, 0), (job["out"], 1), (job["err"], 2)):
        handle = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_APPEND)
        os.dup2(handle, number)
        os.close(handle)
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    random.seed()
    program = job["program"]
    sys.argv[:] = program
    sys.path[0] = os.path.dirname(os.path.realpath(program[0]))
    path = os.path.abspath(program[0])
    with open(path, "rb"):  # else the next lines end with a signal
        pass
    main = ModuleType("__main__")
    main.__dict__.update(__builtins__=__builtins__, __spec__=None)
    sys.modules["__main__"] = main
    atexit.register(gc.unfreeze)  # comes last; else libraries report what has not been collected
    # Python's own way to run a file: no frame and no handler of ours is around it.
    opened, run = ctypes.CDLL(None).fopen, ctypes.pythonapi.PyRun_SimpleFileExFlags
    opened.restype, run.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p]
    failed = run(opened(path.encode(), b"rb"), path.encode(), 1, None)
    if failed and issubclass(sys.last_type, KeyboardInterrupt):  # which ends Python itself by the signal
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    ctypes.pythonapi.Py_Exit(1 if failed else 0)
    raise AssertionError("Py_Exit does not return")


if __name__ == "__main__":
    for package in sys.argv[2:]:
        importlib.import_module(package)
    torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])  # the first optimizer imports as much as torch itself
    Kept("torch")
    gc.freeze()  # what is there already stays shared with the programs
    become(serve(sys.argv[1]))
