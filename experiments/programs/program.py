"""``Program``: a row of the table of other people's programs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Program:
    """A training program of a public repository, and how to run it small on a CPU.

    Attributes:
        name: Unique name.
        repository: Owner and name on GitHub. The folder of the checkout has this name, without the owner.
        commit: Full hash of the commit that was run.
        title: What it trains, for people.
        command: Program and arguments, without ``python``.
        folder: Folder of the checkout in which it is started.
        data: Data to make first: name of a function in ``data.py``, and the folder relative to ``folder``.
        options: Options of `gradlens track`.
        exact: True if the gradient of every group is compared with brute force.
        inexact: Why it is not compared, although steps are measured.
        cpu: True if ``.cuda()`` must do nothing, because the program has no option to run without a GPU.
        interrupted: Number of optimizer steps after which it gets Ctrl-C, because it has no option for fewer steps; 0 = never.
        times: Regular expressions of times that the program prints.
        environment: Further environment variables.
        remark: Remark in the table.
    """

    name: str
    repository: str
    commit: str
    title: str
    command: tuple[str, ...]
    folder: str = "."
    data: tuple[tuple[str, str], ...] = ()
    options: tuple[str, ...] = ()
    exact: bool = False
    inexact: str = ""
    cpu: bool = False
    interrupted: int = 0
    times: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    remark: str = ""
