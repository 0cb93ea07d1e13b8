"""What a row of the table of other people's programs is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Program:
    """A training program of a public repository, and how it runs small on a CPU.

    Attributes:
        name: Unique.
        repository: Owner and name on GitHub; a checkout lies in a folder of that name without the owner.
        commit: Full hash of what was run.
        title: What it trains, for people.
        command: Program and arguments, as after ``python``.
        folder: Where it is started, in the checkout.
        data: Files to make first: name of a function in ``data.py`` and the folder, seen from where the program starts.
        options: Options of `gradlens track`.
        exact: Whether every group gradient is compared with brute force.
        cpu: Whether ``.cuda()`` does nothing, because the program asks for a GPU without a choice.
        interrupted: After how many optimizer steps the program gets Ctrl-C, because it takes no argument for it; 0: never.
        times: Regular expressions of what the program prints of the clock.
        environment: Further environment variables.
        remark: For people.
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
    cpu: bool = False
    interrupted: int = 0
    times: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    remark: str = ""
