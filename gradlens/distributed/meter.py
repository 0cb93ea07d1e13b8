"""SharedMeter: the meter of one process of several, whose vectors are those of the global batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from gradlens.autograd.float_range import in_range
from gradlens.autograd.grads import Grads
from gradlens.autograd.inner_products import Layout, dense, inner_products
from gradlens.batch.rows import Rows
from gradlens.distributed.errors import TeamError
from gradlens.distributed.team import Outcome, Question, Team
from gradlens.distributed.wrappers import Sharing, is_joint, replicas
from gradlens.engines import EngineSwitch
from gradlens.groups import ClassGroups
from gradlens.measure.meter import StepMeter
from gradlens.measure.pending_result import Floats, Pending
from gradlens.measure.schedule.checks import CHECK_EVERY

# Entries of one all-reduce; more are sent in several.
BUCKET = 2**26


class StepDropped(Exception):
    """Another process cannot measure this step, so none does."""


class Shared:
    """What outlasts a step and is the same in every process.

    Attributes:
        team: The processes.
        sharing: Who holds which gradients.
        wrapper: The DDP wrapper, or None.
        joint: Whether backward passes hold collectives, as of the last step; assumed before the first.
        seen: [K] samples of each group in the measured steps so far.
        committed: Measured steps so far.
    """

    def __init__(self, team: Team, sharing: Sharing, wrapper: DistributedDataParallel | None, groups: int) -> None:
        self.team, self.sharing, self.wrapper = team, sharing, wrapper
        self.joint = True
        self.seen: Floats = np.zeros(groups)
        self.committed = 0


class SharedMeter(StepMeter):
    """Measures the process's own part of each vector, and adds the parts up at the end of the step.

    With whole parameters that is one all-reduce of all vectors but the largest group's, which is the averaged gradient of
    the training less the others. With sharded ones the vectors are reduced by the training's own collectives, shard by
    shard, and only inner products are added up.
    """

    _alone = False

    def __init__(
        self, shared: Shared, layout: Layout, groups: ClassGroups, components: int, switch: EngineSwitch
    ) -> None:
        """Prepares.

        Args:
            shared: What all steps share.
            layout: The parameters by layer.
            groups: K groups.
            components: Number of loss components, at least 1.
            switch: The engine in use.
        """
        self._shared = shared
        self._restarts = self._rests = 0
        self._joint_seen = False
        self._synced = True
        super().__init__(layout, groups, components, switch)
        sharded = shared.sharing is Sharing.SHARDS
        self._replicas = [replicas(param, shared.team.size) if sharded else 1 for param in self.params]

    @property
    def averaged(self) -> bool:
        """Whether what lies in ``.grad`` is averaged over the processes; a wrapper does so after one pass over a graph."""
        return self._synced and self._shared.sharing is not Sharing.BY_HAND and not self.passes.retained

    def hold(self, *, keep: bool) -> None:  # noqa: ARG002
        """Keeps the step's vectors, which are added up when the step ends; see ``StepMeter.hold``."""
        wrapper = self._shared.wrapper
        self._synced = wrapper is None or wrapper.require_backward_grad_sync
        super().hold(keep=True)

    def finish(self, update: Grads | None = None) -> Pending | None:
        """Adds up what the processes hold and ends the step; all have agreed to it.

        Args:
            update: What the optimizer took off the parameters.

        Raises:
            StepDropped: The processes hold different things.
        """
        if self._sums.total is None:
            raise StepDropped("nothing was held")
        self._compare()
        if self._shared.sharing is Sharing.BY_HAND and self._shared.committed % CHECK_EVERY == 0:
            self._require_same_weights()
        if self._shared.sharing is Sharing.SHARDS:
            self._sums.vectors = {p: self._sums.vectors.get(p, [None] * len(self.params)) for p in self._present}
        else:
            self._reduce_vectors()
        self._reduce_scores()
        self._shared.seen = self._shared.seen + self._sums.counts
        self._shared.committed += 1
        pending = super().finish(update)
        self._restarts = self._rests = 0
        return pending

    def measure_rest(self, losses: Sequence[Tensor], backward: Callable[[], None]) -> None:
        """See ``StepMeter.measure_rest``."""
        if self._shared.joint and self._shared.team.vote(Question.REST, True).outcome is not Outcome.GO:
            raise StepDropped("another process cannot measure this backward pass")
        self._rests += 1
        super().measure_rest(losses, backward)

    def products(self, vectors: Sequence[Grads], at: Sequence[int]) -> Tensor:
        """See ``StepMeter.products``; of the vectors' means over all processes."""
        if self._shared.sharing is not Sharing.SHARDS:
            vectors = _means([(at, vector) for vector in vectors], self.params, self._shared.team)
        return super().products(vectors, at)

    def _begin(self, *, returned: bool = False) -> None:
        begun = self.begun
        super()._begin(returned=returned)
        self._restarts += begun and not self.begun

    def _agree(self, losses: Sequence[Tensor], reached: Sequence[int], rows: Rows) -> Rows:
        """Returns the rows with counts that tell which groups are there: in joint passes those of all processes.

        Raises:
            StepDropped: Another process cannot go on, or its loss depends on other anchors.
        """
        shared = self._shared
        if not self.begun:
            self._joint_seen = self._joint_seen or any(is_joint(loss) for loss in losses)
            if self._joint_seen and not self._switch.always_exact:
                self._switch.replace("its passes may hold collectives, and all processes must run the same ones")
        counts = np.asarray(rows.counts, dtype=np.float64)
        if shared.joint:
            if shared.team.vote(Question.BACKWARD, True).outcome is not Outcome.GO:
                raise StepDropped("another process cannot measure this backward pass")
            facts = torch.tensor([*counts, rows.untracked, *self._flags(reached)], dtype=torch.float64)
            total = shared.team.sum(facts).numpy()
            if any(flag not in (0, shared.team.size) for flag in total[len(counts) + 1 :]):
                raise StepDropped("the loss depends on other anchors in another process")
            rows = replace(rows, counts=tuple(total[: len(counts)].tolist()), untracked=float(total[len(counts)]))
            counts = total[: len(counts)]
        if self._difference is None and self._has_total:
            known = shared.seen if shared.seen.any() else counts if shared.joint else self._class_numbers()
            self._difference = self._position(0, int(np.argmax(known)))
        return rows

    def _flags(self, reached: Sequence[int]) -> list[float]:
        return [float(c in reached) for c in range(self._components)]

    def _class_numbers(self) -> Floats:
        return np.array([len(ids) for ids in self._groups.classes], dtype=np.float64)

    def _compare(self) -> None:
        """Adds up the numbers that lie on the host, and makes sure that all processes are about to send the same."""
        team, positions = self._shared.team, self._rest + 1
        loss = 0.0 if self._sums.loss is None else float(self._sums.loss)
        size = float(sum(param.numel() for param in self.params))
        # Not averaged yet, or not all of it.
        local = not self._synced or self._sums.taken is not None or len(self._sums.raw) > 0 or self.passes.joined
        facts = torch.zeros(len(self._sums.counts) + positions + 10, dtype=torch.float64)
        k = len(self._sums.counts)
        facts[:k] = torch.from_numpy(self._sums.counts)
        for position in self._sums.vectors:
            facts[k + position] = 1
        own = [
            size, float(len(self._checked or ())), float(self._difference is None), self._restarts + 1000.0 * self._rests,
            float(self._sums.scores is not None), float(self._sums.check is not None), float(local),
            float(self._joint_seen), loss, float(self._sums.disagreement is not None),
        ]  # fmt: skip
        facts[k + positions :] = torch.tensor(own, dtype=torch.float64)
        total = team.sum(facts).tolist()
        sizes = total[k + positions :]
        for mine, all_of in zip(own[:4], sizes[:4], strict=True):
            if mine * team.size != all_of:
                raise StepDropped("the processes measured different things in this step")
        self._present = [position for position in range(positions) if total[k + position]]
        self._sums.counts = np.array(total[:k])
        self._all_scores, self._all_checks = sizes[4] > 0, sizes[5] > 0
        self._send_total = sizes[6] > 0 or self._shared.sharing is Sharing.BY_HAND
        self._shared.joint = sizes[7] > 0 or self._shared.sharing is Sharing.SHARDS
        self._sums.loss = torch.tensor(sizes[8] / team.size, dtype=torch.float64)
        if sizes[9]:
            found = -1.0 if self._sums.disagreement is None else float(self._sums.disagreement)
            self._sums.disagreement = team.max(torch.tensor(found, dtype=torch.float64))
        if self._difference is not None and not self._is_there(self._difference):
            self._difference = self._sums.check = None
            self._all_checks = False

    def _tells(self, losses: Sequence[Tensor]) -> bool:  # noqa: ARG002
        """See ``StepMeter._tells``; all processes must take the same vector as the difference."""
        return True

    def _in_range(self, vectors: Sequence[Grads], sized: Sequence[Grads]) -> tuple[Sequence[Grads], Tensor | None]:
        """See ``StepMeter._in_range``; products of shards are added up, so all processes need one exponent."""
        if self._leaves_range and self._shared.sharing is Sharing.SHARDS:
            return in_range(vectors, self.params[0].device, sized=sized, agree=self._shared.team.max)
        return super()._in_range(vectors, sized)

    def _require_same_weights(self) -> None:
        """Where no wrapper averages gradients, the weights tell whether somebody does: the optimizer has just stepped."""
        team = self._shared.team
        mark = sum((number + 1) * float(param.detach().double().sum()) for number, param in enumerate(self.params))
        low, high = team.max(torch.tensor([-mark, mark], dtype=torch.float64)).tolist()
        if low != -high:
            team.over = True
            team.reason = (
                "the processes' weights differ, so each trains a model of its own; average their gradients with "
                "DistributedDataParallel, or track one process"
            )
            raise StepDropped(team.reason)

    def _is_there(self, position: int) -> bool:
        """Whether a group has samples in any process. The difference has no vector of its own that would tell."""
        return bool(self._sums.counts[position % len(self._groups)] > 0)

    def _reduce_vectors(self) -> None:
        assert self._sums.total is not None
        whole = range(len(self.params))
        near = self._checked or ()
        nothing: Grads = [None] * len(self.params)
        parts: list[tuple[Sequence[int], Grads]] = [(whole, self._sums.vectors.get(p, nothing)) for p in self._present]
        if self._all_checks:
            parts.append((near, self._sums.check or [None] * len(near)))
        if self._send_total:
            parts.append((whole, self._sums.total))
        if parts:
            means = _means(parts, self.params, self._shared.team)
            if self._send_total:
                self._sums.total = means.pop()
            self._sums.check = means.pop() if self._all_checks else None
            self._sums.vectors = dict(zip(self._present, means, strict=True))

    def _reduce_scores(self) -> None:
        if self._all_scores:
            home = self.params[0].device
            scores = torch.zeros(2, len(self._groups), device=home) if self._sums.scores is None else self._sums.scores
            self._sums.scores = self._shared.team.sum(scores.detach().double().clone())

    def _products(self, vectors: Sequence[Grads], at: Sequence[int], layer_of: Sequence[int], layers: int) -> Tensor:
        """See ``StepMeter._products``; of shards the sum over all processes."""
        if self._shared.sharing is not Sharing.SHARDS:
            return super()._products(vectors, at, layer_of, layers)
        params = [self.params[i] for i in at]
        kinds = {self._replicas[i] for i in at}
        if len(kinds) > 1:
            raise TeamError("parameters are sharded over different numbers of processes, which is not measured")
        shards = [nn.Parameter(dense(param.detach()), requires_grad=False) for param in params]
        # Every process sends as many numbers, whatever its shards hold.
        filled: list[Grads] = [
            [torch.zeros_like(p) if g is None else dense(g) for g, p in zip(vector, shards, strict=True)]
            for vector in vectors
        ]
        found = inner_products(filled, shards, layer_of, layers)
        return self._shared.team.sum(found.clone()) / max(kinds, default=1)


def _means(parts: Sequence[tuple[Sequence[int], Grads]], params: Sequence[nn.Parameter], team: Team) -> list[Grads]:
    """Returns the means over all processes of vectors in parameter space, by as few all-reduces as there are dtypes.

    Args:
        parts: (indices of parameters, the vector over those) each; a missing gradient is zero.
        params: All parameters.
        team: The processes.
    """
    slots: dict[tuple[torch.device, torch.dtype], list[tuple[int, int, int]]] = {}
    for number, (at, _) in enumerate(parts):
        for place, index in enumerate(at):
            param = params[index]
            kind = (param.device, torch.promote_types(param.dtype, torch.float32))
            slots.setdefault(kind, []).append((number, place, index))
    found: list[Grads] = [[None] * len(at) for at, _ in parts]
    for (device, dtype), members in slots.items():
        for bucket in _buckets(members, params):
            flat = torch.zeros(sum(params[index].numel() for _, _, index in bucket), dtype=dtype, device=device)
            start = 0
            for number, place, index in bucket:
                stop = start + params[index].numel()
                gradient = parts[number][1][place]
                if gradient is not None:
                    flat[start:stop].copy_(dense(gradient).reshape(-1))
                found[number][place] = flat[start:stop].view(params[index].shape)
                start = stop
            team.sum(flat).div_(team.size)
    return found


def _buckets(
    members: Sequence[tuple[int, int, int]], params: Sequence[nn.Parameter]
) -> list[list[tuple[int, int, int]]]:
    buckets: list[list[tuple[int, int, int]]] = [[]]
    held = 0
    for member in members:
        size = params[member[2]].numel()
        if buckets[-1] and held + size > BUCKET:
            buckets.append([])
            held = 0
        buckets[-1].append(member)
        held += size
    return buckets
