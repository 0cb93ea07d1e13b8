"""StepSums: what the backward passes of one step have given, added up, and the part of it that left ``.grad`` since."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np
from torch import Tensor, nn

from gradlens.autograd.arithmetic import added, less, summed
from gradlens.autograd.grads import Grads
from gradlens.autograd.parameter_hooks import RawGradients
from gradlens.measure.pending_result import Floats


class StepSums:
    """Sums over backward passes.

    Attributes:
        vectors: What was pulled back, by its position among the recorded vectors.
        before: The gradients that were there before the first pass.
        check: The vector that is a difference, pulled back on its own at the checked parameters.
        counts: [K] samples of each group.
        scores: [2, K] loss and hits.
        again: The same two, of the samples among these that passes set aside went over.
        loss: The losses that were differentiated; None before the first pass.
        disagreement: Largest relative difference between two engines.
        raw: The gradients before hooks on parameters.
        taken: The gradients that passes have returned and not left in ``.grad``.
        total: The gradient of all passes so far; see ``hold``.
    """

    def __init__(self, params: Sequence[nn.Parameter], groups: int, *, vanishing: bool) -> None:
        """Begins at nothing.

        Args:
            params: P parameters.
            groups: K.
            vanishing: See ``RawGradients``.
        """
        self.vectors: dict[int, Grads] = {}
        self.before: Grads = []
        self.check: Grads | None = None
        self.counts: Floats = np.zeros(groups)
        self.scores: Tensor | None = None
        self.again: tuple[Floats, Tensor | None] = np.zeros(groups), None
        self.loss: Tensor | None = None
        self.disagreement: Tensor | None = None
        self.raw = RawGradients(params, vanishing=vanishing)
        self.taken: Grads | None = None
        self.total: Grads | None = None
        self._lent: list[tuple[Tensor, int] | None] = []
        self._params = params

    @property
    def begun(self) -> bool:
        """Whether a pass has been added."""
        return self.loss is not None

    def add(self, position: int, vector: Grads | None) -> None:
        """Adds a vector."""
        if vector is not None:
            known = self.vectors.get(position)
            self.vectors[position] = vector if known is None else added(known, vector)

    def note(self, losses: Sequence[Tensor]) -> None:
        """Adds losses that were differentiated."""
        self.loss = _plus(self.loss, summed([loss.detach() for loss in losses]))

    def count(self, counts: Sequence[float], scores: Tensor, *, again: bool) -> None:
        """Adds samples.

        Args:
            counts: [K] of each group.
            scores: [2, K] their loss and hits.
            again: Whether passes set aside went over them.
        """
        self.counts = self.counts + np.asarray(counts)
        self.scores = _plus(self.scores, scores)
        if again:
            self.again = self.again[0] + np.asarray(counts), _plus(self.again[1], scores)

    def take(self, pairs: Iterable[tuple[Tensor, Tensor | None]]) -> None:
        """Adds gradients that a pass has returned, each with its parameter."""
        of_param = {id(param): gradient for param, gradient in pairs}
        vector = [None if (g := of_param.get(id(param))) is None else g.detach() for param in self._params]
        self.taken = vector if self.taken is None else added(self.taken, vector)

    def hold(self, *, copied: bool) -> Grads:
        """Notes the gradient that the passes have given, while it lies in ``.grad``; returns it.

        Args:
            copied: Copies it. Else it stays what the training has, and is only good until that is written to.
        """
        if self.taken is not None:
            total = [None if g is None else g.clone() for g in self.taken] if copied else self.taken
        else:
            total = less([p.grad for p in self._params], self.before, copied=copied)
        self.total = self.raw.put_into(total)
        own = copied or self.taken is not None
        self._lent = [
            None if own or b is not None or p.grad is None else (p.grad, p.grad._version)
            for p, b in zip(self._params, self.before, strict=True)
        ]
        return self.total

    def outlives(self, gone: Sequence[bool]) -> bool:
        """Whether ``total`` is still what it was, where ``.grad`` was thrown away: nobody has written to it.

        Args:
            gone: [P] where.
        """
        if self.total is None:
            return False
        lent = (
            (lent, p) for lent, p, no in zip(self._lent, self._params, gone, strict=True) if no and lent is not None
        )
        return all(param.grad is not tensor and tensor._version == version for (tensor, version), param in lent)

    def forget(self, gone: Sequence[bool], checked: Sequence[int] | None) -> None:
        """Drops what was given to parameters.

        Args:
            gone: [P] which.
            checked: Indices of the parameters that ``check`` is over.
        """
        kept = [not no for no in gone]
        self.vectors = {position: _at(vector, kept) for position, vector in self.vectors.items()}
        self.before = _at(self.before, kept)
        self.raw.forget(index for index, no in enumerate(gone) if no)
        if self.check is not None and checked is not None:
            self.check = _at(self.check, [kept[i] for i in checked])

    def own(self) -> Self:
        """Makes ``total`` a copy where it is not, and returns the sums."""
        if self.total is not None:
            self.total = [
                g if lent is None or g is None else g.clone() for g, lent in zip(self.total, self._lent, strict=True)
            ]
        self._lent = [None] * len(self._params)
        return self

    def part(self, gone: Sequence[bool], checked: Sequence[int] | None) -> Self:
        """Returns what was given to some parameters; samples and losses stay with the others.

        Args:
            gone: [P] which.
            checked: Indices of the parameters that ``check`` is over.
        """
        part = type(self)(self._params, len(self.counts), vanishing=False)
        part._lent = self._lent
        part.vectors = {position: _at(vector, gone) for position, vector in self.vectors.items()}
        part.total = None if self.total is None else _at(self.total, gone)
        if self.check is not None and checked is not None:
            part.check = _at(self.check, [gone[i] for i in checked])
        return part

    def put_before(self, earlier: StepSums) -> None:
        """Adds the sums of earlier passes. Samples that both went over count once."""
        for position, vector in earlier.vectors.items():
            self.add(position, vector)
        self.total = _sum(self.total, earlier.total)
        self.check = _sum(self.check, earlier.check)
        counts, scores = self.again
        self.counts = earlier.counts + self.counts - counts
        self.scores = _plus(
            earlier.scores, self.scores if self.scores is None or scores is None else self.scores - scores
        )
        self.again = earlier.again
        self.loss = _plus(earlier.loss, self.loss)
        if earlier.disagreement is not None:
            known = self.disagreement
            self.disagreement = earlier.disagreement if known is None else earlier.disagreement.maximum(known)


def _at(vector: Grads, chosen: Sequence[bool]) -> Grads:
    return [gradient if yes else None for gradient, yes in zip(vector, chosen, strict=True)]


def _plus(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b


def _sum(a: Grads | None, b: Grads | None) -> Grads | None:
    return b if a is None else a if b is None else added(a, b)
