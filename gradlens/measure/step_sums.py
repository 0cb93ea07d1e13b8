"""StepSums: adds up vectors, samples and losses of the backward passes of one step."""

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
        vectors: The vectors that were pulled back, by their position among the recorded vectors.
        before: [P] gradients that lay in ``.grad`` before the first pass.
        check: The difference (see ``StepMeter``) as pulled back by itself, over the checked parameters; or None.
        counts: [K] samples of each group.
        scores: [2, K] summed loss and hits of each group.
        again: Counts and scores of those samples that passes set aside went over, too.
        loss: [] sum of the losses that were differentiated; None before the first pass.
        disagreement: [] largest relative difference between two engines, or None.
        raw: The gradients before the script's hooks on parameters.
        taken: [P] sum of the gradients that passes have returned and not left in ``.grad``; None if there are none.
        total: [P] gradient of all passes so far; see ``hold``.
    """

    def __init__(self, params: Sequence[nn.Parameter], groups: int, *, vanishing: bool) -> None:
        """Begins without passes.

        Args:
            params: P parameters.
            groups: K, the number of groups.
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
        """Adds a vector, if there is one, to those at its position."""
        if vector is not None:
            known = self.vectors.get(position)
            self.vectors[position] = vector if known is None else added(known, vector)

    def note(self, losses: Sequence[Tensor]) -> None:
        """Adds the losses that a pass has differentiated."""
        self.loss = _plus(self.loss, summed([loss.detach() for loss in losses]))

    def count(self, counts: Sequence[float], scores: Tensor, *, again: bool) -> None:
        """Adds samples.

        Args:
            counts: [K] samples of each group.
            scores: [2, K] their summed loss and hits.
            again: Whether an earlier pass went over the same samples.
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
        """Keeps the gradient of the passes as ``total``, while it lies in ``.grad``. Returns it.

        Args:
            copied: Whether to copy it. If not, its tensors are those of the training: it is valid until the training writes to
                them.
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
        """Says whether ``total`` is still valid for parameters whose ``.grad`` was zeroed: nobody has written to its tensors.

        Args:
            gone: [P] whether each parameter's gradient was zeroed.
        """
        if self.total is None:
            return False
        lent = (
            (lent, p) for lent, p, no in zip(self._lent, self._params, gone, strict=True) if no and lent is not None
        )
        return all(param.grad is not tensor and tensor._version == version for (tensor, version), param in lent)

    def forget(self, gone: Sequence[bool], checked: Sequence[int] | None) -> None:
        """Drops the part of all vectors that belongs to some parameters.

        Args:
            gone: [P] whether each parameter is one of them.
            checked: Indices of the parameters that ``check`` is over.
        """
        kept = [not no for no in gone]
        self.vectors = {position: _at(vector, kept) for position, vector in self.vectors.items()}
        self.before = _at(self.before, kept)
        self.raw.forget(index for index, no in enumerate(gone) if no)
        if self.check is not None and checked is not None:
            self.check = _at(self.check, [kept[i] for i in checked])

    def own(self) -> Self:
        """Copies those tensors of ``total`` that are the training's. Returns the sums themselves."""
        if self.total is not None:
            self.total = [
                g if lent is None or g is None else g.clone() for g, lent in zip(self.total, self._lent, strict=True)
            ]
        self._lent = [None] * len(self._params)
        return self

    def part(self, gone: Sequence[bool], checked: Sequence[int] | None) -> Self:
        """Returns new sums with the part of the vectors that belongs to some parameters, without samples and losses.

        Args:
            gone: [P] whether each parameter is one of them.
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
        """Adds the sums of earlier passes. Samples that are in both count once."""
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
