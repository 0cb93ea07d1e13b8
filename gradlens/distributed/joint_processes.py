"""JointProcesses: the processes of one training agree on each backward pass, and add up their sums at the end of a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from gradlens.autograd.float_range import in_range
from gradlens.autograd.grads import Grads
from gradlens.autograd.inner_products import dense, inner_products
from gradlens.batch.rows import RowsByGroup
from gradlens.distributed.errors import TeamError
from gradlens.distributed.means import means
from gradlens.distributed.team import Outcome, Question, Team
from gradlens.distributed.wrappers import Sharing, is_joint, replicas
from gradlens.engines import EngineSwitch
from gradlens.groups import ClassGroups
from gradlens.measure.pending_result import Floats
from gradlens.measure.processes import StepDropped
from gradlens.measure.schedule.checks import CHECK_EVERY
from gradlens.measure.step_passes import StepPasses
from gradlens.measure.step_state import StepState


@dataclass(frozen=True)
class Agreed:
    """What must be added up over the processes at the end of a step: all that at least one process has.

    Attributes:
        present: Positions of the vectors that some process has.
        scores: Whether some process has scores.
        checks: Whether some process has also pulled the difference (see ``StepMeter``) back by itself.
        total: Whether the total gradient must still be averaged.
    """

    present: Sequence[int]
    scores: bool
    checks: bool
    total: bool


class JointProcesses:
    """Several processes; see ``TrainingProcesses``. Each process measures its part of each vector until the step ends.

    If each process holds whole parameters, one all-reduce adds up the parts of all vectors but that of the group with most
    samples. This one is the difference: the averaged gradient of the training minus the others. If the parameters are sharded,
    the training's own collectives reduce the vectors shard by shard, and only inner products are added up.

    Attributes:
        alone: False.
        shards: Whether each process holds a part of each gradient.
        team: The processes.
        sharing: How the processes share gradients.
        wrapper: The DDP wrapper, or None.
        committed: Number of measured steps so far.
    """

    alone = False

    def __init__(
        self, team: Team, sharing: Sharing, wrapper: DistributedDataParallel | None, groups: ClassGroups
    ) -> None:
        """Keeps its arguments.

        Args:
            team: The processes.
            sharing: How the processes share gradients.
            wrapper: The DDP wrapper, or None.
            groups: K groups.
        """
        self.team, self.sharing, self.wrapper = team, sharing, wrapper
        self.shards = sharing is Sharing.SHARDS
        self.committed = 0
        self._class_numbers: Floats = np.array([len(ids) for ids in groups.classes], dtype=np.float64)
        self._seen: Floats = np.zeros(len(groups))  # samples of each group in the measured steps so far
        # Whether backward passes held collectives in the last step. True before the first step, to be safe.
        self._joint = True
        self._joint_seen = False
        self._synced = True
        self._replicas: dict[int, int] = {}

    def engine_for(self, engine: str) -> tuple[str, str | None]:
        """See ``TrainingProcesses``. "func" becomes "masked": it repeats the forward pass, and so would repeat collectives."""
        if engine == "masked" or not (engine == "func" or self.shards):
            return engine, None
        return "masked", f"{engine}: only the masked engine treats {self.sharing.value} exactly"

    def meter_made(self, params: Sequence[nn.Parameter]) -> None:
        """See ``TrainingProcesses``."""
        self._joint_seen, self._synced = False, True
        self._replicas = {id(param): replicas(param, self.team.size) if self.shards else 1 for param in params}

    def measured_steps(self, here: int) -> int:  # noqa: ARG002
        """See ``TrainingProcesses``. Returns the steps that all processes have recorded, the same number in each."""
        return self.committed

    def agree(
        self, step: StepState, losses: Sequence[Tensor], reached: Sequence[int], rows: RowsByGroup, switch: EngineSwitch
    ) -> RowsByGroup:
        """See ``TrainingProcesses``. If the pass holds collectives, the counts are sums over all processes.

        Raises:
            StepDropped: Another process cannot measure the pass, or its loss depends on other anchors.
        """
        if not step.sums.begun:
            self._joint_seen = self._joint_seen or any(is_joint(loss) for loss in losses)
            if self._joint_seen and not switch.always_exact:
                switch.replace("its passes may hold collectives, and all processes must run the same ones")
        if not self._joint:
            return rows
        if self.team.vote(Question.BACKWARD, True).outcome is not Outcome.GO:
            raise StepDropped("another process cannot measure this backward pass")
        counts = np.asarray(rows.counts, dtype=np.float64)
        flags = [float(c in reached) for c in range(step.positions.components)]
        facts = torch.tensor([*counts, rows.untracked, *flags], dtype=torch.float64)
        total = self.team.sum(facts).numpy()
        if any(flag not in (0, self.team.size) for flag in total[len(counts) + 1 :]):
            raise StepDropped("the loss depends on other anchors in another process")
        return replace(rows, counts=tuple(total[: len(counts)].tolist()), untracked=float(total[len(counts)]))

    def largest(self, rows: RowsByGroup) -> int:
        """See ``TrainingProcesses``."""
        here = np.asarray(rows.counts, dtype=np.float64) if self._joint else self._class_numbers
        return int(np.argmax(self._seen if self._seen.any() else here))

    def agree_on_rest(self) -> None:
        """See ``TrainingProcesses``.

        Raises:
            StepDropped: Another process cannot measure the pass.
        """
        if self._joint and self.team.vote(Question.REST, True).outcome is not Outcome.GO:
            raise StepDropped("another process cannot measure this backward pass")

    def keeps(self) -> bool:
        """See ``TrainingProcesses``."""
        self._synced = self.wrapper is None or self.wrapper.require_backward_grad_sync
        return True

    def grad_is_averaged(self, passes: StepPasses) -> bool:
        """Says whether ``.grad`` is averaged over the processes. A wrapper averages it in the first pass over a graph only."""
        return self._synced and self.sharing is not Sharing.BY_HAND and not passes.retained

    def add_up(self, step: StepState, params: Sequence[nn.Parameter]) -> None:
        """See ``TrainingProcesses``. All processes must have agreed to it by a vote.

        Raises:
            StepDropped: The processes have measured different things.
        """
        sums = step.sums
        if sums.total is None:
            raise StepDropped("nothing was held")
        agreed = self._compare(step, params)
        if self.sharing is Sharing.BY_HAND and self.committed % CHECK_EVERY == 0:
            self._require_same_weights(params)
        if self.shards:
            sums.vectors = {p: sums.vectors.get(p, [None] * len(params)) for p in agreed.present}
        else:
            self._reduce_vectors(step, params, agreed)
        if agreed.scores:
            home = params[0].device
            scores = torch.zeros(2, step.positions.groups, device=home) if sums.scores is None else sums.scores
            sums.scores = self.team.sum(scores.detach().double().clone())
        self._seen = self._seen + sums.counts
        self.committed += 1

    def averaged(self, vectors: Sequence[Grads], at: Sequence[int], params: Sequence[nn.Parameter]) -> Sequence[Grads]:
        """See ``TrainingProcesses``. Vectors of sharded parameters stay as they are."""
        return vectors if self.shards else means([(at, vector) for vector in vectors], params, self.team)

    def in_range(
        self, vectors: Sequence[Grads], home: torch.device, sized: Sequence[Grads]
    ) -> tuple[Sequence[Grads], Tensor]:
        """See ``TrainingProcesses``. The processes add up inner products of shards, so all need the same exponent."""
        if self.shards:
            return in_range(vectors, home, sized=sized, agree=self.team.max)
        return in_range(vectors, home, sized=sized)

    def inner_products(
        self, vectors: Sequence[Grads], params: Sequence[nn.Parameter], layer_of: Sequence[int], layers: int
    ) -> Tensor:
        """See ``TrainingProcesses``. With sharded parameters, returns the sum over all processes.

        Raises:
            TeamError: Some parameters are sharded over more processes than others.
        """
        if not self.shards:
            return inner_products(vectors, params, layer_of, layers)
        kinds = {self._replicas[id(param)] for param in params}
        if len(kinds) > 1:
            raise TeamError("parameters are sharded over different numbers of processes, which is not measured")
        shards = [nn.Parameter(dense(param.detach()), requires_grad=False) for param in params]
        # Every process must send the same amount of numbers, so a missing gradient becomes zeros.
        filled: list[Grads] = [
            [torch.zeros_like(p) if g is None else dense(g) for g, p in zip(vector, shards, strict=True)]
            for vector in vectors
        ]
        found = inner_products(filled, shards, layer_of, layers)
        return self.team.sum(found.clone()) / max(kinds, default=1)

    def _compare(self, step: StepState, params: Sequence[nn.Parameter]) -> Agreed:
        """Adds up the numbers that lie on the host, and checks that all processes will send the same tensors next.

        Raises:
            StepDropped: The processes have measured different things.
        """
        team, positions, sums = self.team, step.positions.rest + 1, step.sums
        loss = 0.0 if sums.loss is None else float(sums.loss)
        size = float(sum(param.numel() for param in params))
        # Whether the total gradient, or a part of it, is not averaged yet.
        local = not self._synced or sums.taken is not None or len(sums.raw) > 0 or step.passes.joined
        k = len(sums.counts)
        # These numbers must be the same in all processes. Each process sends its own in a place of its own, so all read the same
        # numbers and decide the same. A process that went on alone would wait for tensors that the others do not send.
        own = [
            size,
            float(len(step.checked or ())),
            float(step.difference is None),
            step.restarts + 1000.0 * step.rests,
        ]
        # These numbers are added up.
        some = [
            float(sums.scores is not None), float(sums.check is not None), float(local),
            float(self._joint_seen), loss, float(sums.disagreement is not None),
        ]  # fmt: skip
        facts = torch.zeros(k + positions + len(some) + team.size * len(own), dtype=torch.float64)
        facts[:k] = torch.from_numpy(sums.counts)
        for position in sums.vectors:
            facts[k + position] = 1
        facts[k + positions : k + positions + len(some)] = torch.tensor(some, dtype=torch.float64)
        each = facts[k + positions + len(some) :].view(team.size, len(own))
        each[team.rank] = torch.tensor(own, dtype=torch.float64)
        total = team.sum(facts).tolist()
        if not bool((each == each[0]).all()):
            raise StepDropped("the processes measured different things in this step")
        scores, checks, local_in, joint, losses, disagreeing = total[k + positions : k + positions + len(some)]
        agreed = Agreed(
            present=[position for position in range(positions) if total[k + position]],
            scores=scores > 0,
            checks=checks > 0,
            total=local_in > 0 or self.sharing is Sharing.BY_HAND,
        )
        sums.counts = np.array(total[:k])
        self._joint = joint > 0 or self.shards
        sums.loss = torch.tensor(losses / team.size, dtype=torch.float64)
        if disagreeing:
            found = -1.0 if sums.disagreement is None else float(sums.disagreement)
            sums.disagreement = team.max(torch.tensor(found, dtype=torch.float64))
        # The difference has no vector that would show whether its group has samples in some process.
        if step.difference is not None and not sums.counts[step.difference % k] > 0:
            step.difference = sums.check = None
            return replace(agreed, checks=False)
        return agreed

    def _require_same_weights(self, params: Sequence[nn.Parameter]) -> None:
        """Checks that the script averages the gradients, if no wrapper does: after a step, all weights must be the same.

        Raises:
            StepDropped: The weights differ. The processes measure nothing more.
        """
        team = self.team
        mark = sum((number + 1) * float(param.detach().double().sum()) for number, param in enumerate(params))
        low, high = team.max(torch.tensor([-mark, mark], dtype=torch.float64)).tolist()
        if low != -high:
            team.over = True
            team.reason = (
                "the processes' weights differ, so each trains a model of its own; average their gradients with "
                "DistributedDataParallel, or track one process"
            )
            raise StepDropped(team.reason)

    def _reduce_vectors(self, step: StepState, params: Sequence[nn.Parameter], agreed: Agreed) -> None:
        sums = step.sums
        assert sums.total is not None
        whole, near = range(len(params)), step.checked or ()
        nothing: Grads = [None] * len(params)
        parts: list[tuple[Sequence[int], Grads]] = [(whole, sums.vectors.get(p, nothing)) for p in agreed.present]
        if agreed.checks:
            parts.append((near, sums.check or [None] * len(near)))
        if agreed.total:
            parts.append((whole, sums.total))
        if parts:
            found = means(parts, params, self.team)
            if agreed.total:
                sums.total = found.pop()
            sums.check = found.pop() if agreed.checks else None
            sums.vectors = dict(zip(agreed.present, found, strict=True))
