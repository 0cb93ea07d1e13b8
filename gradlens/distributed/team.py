"""Team: connects the processes that train one model. They vote on each measured step, and add up tensors."""

from __future__ import annotations

import contextlib
import ctypes
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, IntEnum
from itertools import count
from typing import Any, Self

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, _get_default_store

from gradlens.distributed.errors import TeamError
from gradlens.distributed.wrappers import in_join

# The processes vote right after collectives of the training, so they all come at about the same time. If one does not come
# within this time, it never will: measuring stops, and training goes on.
PATIENCE = timedelta(seconds=120)
# How long to wait for the other processes to make their lenses, which they do in the same training step.
MEETING = timedelta(seconds=60)
# How long to wait inside of a join. There, another process may have no data left and answer only the training's collectives.
# It waits for this process meanwhile, and must not wait longer than the training's own time limit.
MEETING_IN_JOIN = timedelta(seconds=15)
NUMBERS = 4
AWAY = "away"

_meetings = count()


class Question(IntEnum):
    """What a vote is about."""

    SYNC = 0
    BACKWARD = 1
    REST = 2
    COMMIT = 3
    RESUME = 4
    # Votes of a process that does not wait for the others: they count in the next vote, whatever it is about.
    DECLINE = 5
    PAUSE = 6
    LEAVE = 7


class Outcome(Enum):
    """How a vote ended."""

    GO = "go"
    NO = "no"
    PAUSE = "pause"
    OVER = "over"


@dataclass(frozen=True)
class Vote:
    """The result of a vote, the same in every process.

    Attributes:
        outcome: GO where all voted for the same thing and all said yes.
        numbers: [NUMBERS] sums of what the processes gave.
        absent: Ranks that said no, declined or left.
    """

    outcome: Outcome
    numbers: tuple[float, ...] = (0.0,) * NUMBERS
    absent: tuple[int, ...] = ()


class Team:
    """The processes of one training, with a connection of their own beside those of the training.

    A vote is one all-reduce of a few numbers. A process that cannot take part in the next vote (its measurement failed, or it
    has no more data) posts its vote in advance, and does not wait. When the others vote, its answer is there already. So no
    process ever waits for one that goes on training.

    Attributes:
        rank: Number of this process; process 0 writes the log.
        size: Number of processes.
        over: Whether the processes have stopped measuring together, for good.
        reason: Why they have stopped; None if a process has left by a vote, or if they have not stopped.
    """

    def __init__(self, rank: int, size: int, store: Any) -> None:
        """Connects; the other processes do so at the same time.

        Args:
            rank: Number of this process.
            size: Number of processes.
            store: The store by which they find each other.
        """
        self.rank, self.size = rank, size
        self.over = False
        self.reason: str | None = None
        # Made directly, not by new_group: new_group counts groups, and the script's own groups would get other names.
        self._group: Any = dist.ProcessGroupGloo(store, rank, size, PATIENCE)
        # This reference keeps the group alive. Its destructor would wait for votes that no other process takes part in.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._group))
        self._posted: deque[tuple[Any, Tensor]] = deque()
        self._ballots: list[Tensor] = []  # to be used again

    @classmethod
    def meet(cls) -> Self:
        """Waits for the lenses of the other processes, and connects to them.

        Raises:
            TeamError: Another process is not measured.
        """
        number = next(_meetings)
        _gather(number, "here")
        store = PrefixStore(f"gradlens/{number}", _get_default_store())
        return cls(dist.get_rank(), dist.get_world_size(), store)

    @staticmethod
    def tell(text: str) -> list[str]:
        """Sends a text to the other processes, which call this at the same point of the training.

        Returns:
            The text of each process, by rank.

        Raises:
            TeamError: Another process is not measured.
        """
        return _gather(next(_meetings), text)

    @staticmethod
    def stay_away() -> None:
        """Tells the other processes not to wait for this one when they next call ``meet`` or ``tell``."""
        with contextlib.suppress(RuntimeError, ValueError):
            _get_default_store().set(f"gradlens/{next(_meetings)}/{dist.get_rank()}", AWAY)

    def vote(self, question: Question, ok: bool, numbers: Sequence[float] = ()) -> Vote:
        """Votes, and waits for the votes of the others.

        Args:
            question: What the vote is about.
            ok: Whether this process votes yes.
            numbers: At most NUMBERS numbers, which are summed over the processes.
        """
        while self._posted and not self.over:
            self._settle(*self._posted.popleft())
        if self.over:
            return Vote(Outcome.OVER)
        return self._settle(*self._cast(question, ok, numbers))

    def post(self, question: Question) -> None:
        """Votes no in the next vote of the others, and does not wait for it.

        Args:
            question: DECLINE, PAUSE or LEAVE.
        """
        if self.over:
            return
        try:
            self._posted.append(self._cast(question, False))
        except RuntimeError as error:
            self._broken(error)
        if question is Question.LEAVE:
            self.over = True

    def abandon(self) -> None:
        """Leaves the others at once. If they wait for tensors of this process, their call fails."""
        self.over = True
        if not self._posted and self._group is not None:
            ctypes.pythonapi.Py_DecRef(ctypes.py_object(self._group))
            self._group = None  # closes the connection

    def sum(self, tensor: Tensor) -> Tensor:
        """Returns the sum over all processes. They must have agreed on it by a vote.

        Args:
            tensor: Is overwritten. It is dense, with the same shape and dtype in each process.

        Raises:
            TeamError: This process has left the others.
        """
        return self._reduce(tensor, dist.ReduceOp.SUM)

    def max(self, tensor: Tensor) -> Tensor:
        """Returns the largest value of all processes, entry by entry. It works like ``sum``."""
        return self._reduce(tensor, dist.ReduceOp.MAX)

    def _reduce(self, tensor: Tensor, operation: Any) -> Tensor:
        if tensor.device.type == "cuda" and dist.get_backend() == "nccl":
            dist.all_reduce(tensor, operation)
            return tensor
        if self._group is None:
            raise TeamError("the processes have parted")
        options = dist.AllreduceOptions()
        options.reduceOp = operation
        self._group.allreduce([tensor], options).wait()
        return tensor

    def _cast(self, question: Question, ok: bool, numbers: Sequence[float] = ()) -> tuple[Any, Tensor]:
        size = len(Question) + self.size + NUMBERS
        ballot = self._ballots.pop().zero_() if self._ballots else _lasting(torch.zeros(size, dtype=torch.float64))
        ballot[question] = 1
        ballot[len(Question) + self.rank] = float(ok)
        if numbers:
            ballot[len(Question) + self.size : len(Question) + self.size + len(numbers)] = torch.tensor(
                numbers, dtype=torch.float64
            )
        return self._group.allreduce([ballot]), ballot

    def _settle(self, work: Any, ballot: Tensor) -> Vote:
        try:
            work.wait()
        except RuntimeError as error:
            self._broken(error)
            return Vote(Outcome.OVER)
        values = ballot.tolist()
        self._ballots.append(ballot)
        votes, oks = values[: len(Question)], values[len(Question) : len(Question) + self.size]
        numbers = tuple(values[len(Question) + self.size :])
        absent = tuple(rank for rank, ok in enumerate(oks) if not ok)
        # Steps begin and pauses end in all processes at once. If only some vote on that, gradlens has made an error.
        apart = any(votes[question] not in (0, self.size) for question in (Question.SYNC, Question.RESUME))
        if votes[Question.PAUSE] and not votes[Question.LEAVE]:
            outcome = Outcome.PAUSE
        elif votes[Question.LEAVE] or apart:
            outcome = Outcome.OVER
        else:
            outcome = Outcome.GO if not absent and max(votes) == self.size else Outcome.NO
        if outcome is Outcome.OVER:
            self.over = True
        return Vote(outcome, numbers, absent)

    def _broken(self, error: RuntimeError) -> None:
        self.over = True
        text = str(error).strip() or type(error).__name__
        self.reason = f"the connection to another process is lost ({text.splitlines()[0][:200]})"


def _lasting(tensor: Tensor) -> Tensor:
    """Returns the tensor, and makes sure that a thread of the connection can drop it without the interpreter's lock.

    The connection's threads drop a vote's tensor some time later, perhaps while Python ends. If they hold the last reference
    beside Python's own, they need the interpreter's lock for it, and the process is aborted ("terminate called without an
    active exception"; pytorch/pytorch#179291). A view that is kept for good is one more reference.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(tensor.view(-1)))
    return tensor


def _gather(number: int, text: str) -> list[str]:
    rank, size = dist.get_rank(), dist.get_world_size()
    store = _get_default_store()
    keys = [f"gradlens/{number}/{other}" for other in range(size)]
    store.set(keys[rank], text)
    try:
        store.wait(keys, MEETING_IN_JOIN if in_join() else MEETING)
    except RuntimeError as error:
        store.set(keys[rank], AWAY)
        missing = [str(other) for other, key in enumerate(keys) if not store.check([key])]
        raise TeamError(
            f"process {', '.join(missing)} of the {size} that train together is not measured; start each of them with gradlens "
            "(torchrun ... -m gradlens track train.py), or make the Lens in every process"
        ) from error
    found = [store.get(key).decode() for key in keys]
    if AWAY in found:
        raise TeamError(f"process {found.index(AWAY)} of the {size} that train together is not measured, so none is")
    return found
