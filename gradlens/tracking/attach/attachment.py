"""Attachment: finds model, optimizer and groups from the first loss that is seen, and makes the lens when all are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.utils.data import DataLoader

from gradlens.autograd.shards import local
from gradlens.groups import ClassGroups
from gradlens.tracking.attach.growth import MeasuredClassifier
from gradlens.tracking.attach.make_lens import announce, attach, described, engine_of
from gradlens.tracking.attach.optimizer_changes import OptimizerChanges
from gradlens.tracking.attach.step_count import StepCount
from gradlens.tracking.attach.tracked_lens import TrackedLens
from gradlens.tracking.attach.without_data import WithoutData
from gradlens.tracking.find.drawn_samples import DrawnSamples
from gradlens.tracking.find.evidence import Evidence, class_count, within, within_values
from gradlens.tracking.find.group_choice import over
from gradlens.tracking.find.group_search import GroupSearch
from gradlens.tracking.find.loss_calls import LossNode, leaves
from gradlens.tracking.find.models import Owners, find_owners
from gradlens.tracking.find.observed_classes import Classes, told_by_data
from gradlens.tracking.messages import say
from gradlens.tracking.options import TrackOptions


class Attachment:
    """What is known of the training. The model is known from the first backward pass on.

    The groups are known at once if the class counts are; otherwise after a pass over the data, in which labels are counted.

    Attributes:
        search: The search for the groups.
        every_backward: Whether each backward pass is a step, because no optimizer was found.
        grown: Whether the classifier has more classes than when the lens was made.
    """

    def __init__(
        self,
        options: TrackOptions,
        folder: Path,
        roots: Sequence[Tensor],
        evidence: Evidence,
        loaders: Sequence[tuple[DataLoader[Any], DrawnSamples]],
        steps: StepCount,
        fail: Callable[[Exception], None],
    ) -> None:
        """Finds model, optimizer and, if possible, class counts.

        Args:
            options: The options of the command line.
            folder: The run's folder.
            roots: The tensors that the script differentiates.
            evidence: Their anchors and labels.
            loaders: The loaders that the script may train from, each with the samples that were drawn from it.
            steps: Has counted the steps since the first backward pass.
            fail: Is given each error of gradlens in the training's own optimizer steps.

        Raises:
            LookupError: The loss depends on nothing that can be trained.
        """
        self._options, self._folder, self._fail = options, folder, fail
        self._owners = find_owners(leaves(list(roots)))
        self._steps = steps
        self._first, self._follows = True, False
        self.every_backward = self._owners.optimizer is None
        classes = _classes(options, loaders, evidence)
        self.search = GroupSearch(
            options, classes.number, loaders, evidence.grouped, known=classes.known, ignored=evidence.ignore_index
        )
        self._groups: ClassGroups | None = None
        self._without_data: WithoutData | None = None
        self._classifier = MeasuredClassifier(evidence.anchors[0])
        self._engine = ""
        self.grown = False

    def lens(
        self, roots: Sequence[Tensor], evidence: Evidence, passes: int, on_made: Callable[[TrackedLens], None]
    ) -> TrackedLens | None:
        """Returns the lens, or None while labels are counted. The lens skips this step if it cannot measure it.

        Args:
            roots: The tensors that the script differentiates.
            evidence: Anchors and labels of this backward pass.
            passes: Number of passes over the data that have begun.
            on_made: Is called with the lens as soon as it has been made.

        Raises:
            WrongUse: The groups in the options cannot be made from the class counts.
        """
        first, self._first = self._first, False
        step = self._steps.of(self._owners.optimizer)
        groups = self.search.offer(evidence.grouped, step, pass_over=passes > 1)
        if groups is None:
            if first:
                announce(self._options, self._folder, self._owners, evidence, self.search.waits)
            return None
        unseen = self._steps.begun() or any(_holds(param.grad) for param in self._owners.model.parameters())
        self._groups, self._without_data = groups, WithoutData(groups, known=self.search.known)
        counts = self.search.counts_of(groups)
        lens = attach(
            self._options, self._folder, groups, self.search.num_classes, counts, self._owners, roots, evidence
        )
        on_made(lens)
        if first:
            announce(
                self._options, self._folder, self._owners, evidence, self._described(groups), self._engine_of(lens)
            )
        else:
            say(f"labels are counted: groups {self._described(groups)}, {self._engine_of(lens)}")
        lens.step = step
        lens.epoch = max(passes - 1, 0)
        if lens.armed and (unseen or lens.engine_name != "masked"):
            # The step cannot be measured: the other engines need to see the forward pass, which is over, or a backward pass of
            # this step has run before this one, with labels or without (a penalty on the weights).
            lens.skip()
        return lens

    def within(self, evidence: Evidence) -> tuple[Evidence, str | None]:
        """Returns the evidence for the classes of the run, and a line for the user, or None.

        The line is returned once: the first time that labels belong to no group.
        """
        if evidence.members is not None:
            return within_values(evidence, self.search.num_classes)
        text = None if self._without_data is None else self._without_data.look(evidence.labels)
        return evidence if self.search.known else within(evidence, self.search.num_classes), text

    def engine_changed(self, lens: TrackedLens) -> str | None:
        """Returns a line for the user if the engine has changed since the last line about it; otherwise None."""
        if lens.engine_name == self._engine:
            return None
        self._engine = lens.engine_name
        return f"engine {lens.engine_name} measures, {lens.engine_reason}"

    def _described(self, groups: ClassGroups) -> str:
        return described(groups, known=self.search.known)

    def _engine_of(self, lens: TrackedLens) -> str:
        self._engine = lens.engine_name
        return engine_of(lens, self._options.engine)

    def classes(self, found: Sequence[LossNode]) -> int | None:
        """Returns C, the number of classes, after a look whether the classifier has grown; None if groups tell nothing of it.

        Args:
            found: The loss calls of a backward pass.
        """
        if self._options.members is not None:
            return None
        grown = self._classifier.grown(found, self.search.num_classes, self._owners.model.parameters())
        if grown is not None:
            self.search.grow(grown)
            self._classifier = MeasuredClassifier(
                next(item.call.anchor for item in found if class_count(item.call) == grown)
            )
            self.grown = self._groups is not None
        return self.search.num_classes

    def following(self, lens: TrackedLens) -> OptimizerChanges:
        """Returns the object that notices when the training goes on with another optimizer or model than the lens's."""
        measured = {id(param) for param in self._owners.model.parameters()}
        others = self._steps.others
        others.measuring(measured, from_start=not self._follows)
        self._follows = True
        return OptimizerChanges(lens, self._owners.optimizer, measured, self._optimizer_found, self._fail, others)

    def again(
        self,
        roots: Sequence[Tensor],
        evidence: Evidence,
        lens: TrackedLens,
        following: OptimizerChanges,
        on_made: Callable[[TrackedLens], None],
    ) -> TrackedLens | None:
        """Finds the model that is trained now, and returns the lens for it; None if it cannot be measured.

        The same model with another optimizer keeps its lens. Another model, or a classifier that has grown, gets a new lens,
        which continues the run of ``lens``; ``lens`` is closed.

        Args:
            roots: The tensors that the script differentiates.
            evidence: Anchors and labels of this backward pass.
            lens: The lens so far.
            following: Has noticed the change.
            on_made: Is called with a new lens as soon as it has been made.
        """
        assert self._groups is not None
        owners = find_owners(leaves(list(roots)))
        if self.grown:
            return self._renewed(owners, roots, evidence, lens, following, on_made)
        optimizer = following.newcomer()
        known = {id(param) for param in owners.model.parameters()}
        if optimizer is None or not any(id(p) in known for group in optimizer.param_groups for p in group["params"]):
            return None
        if _same(owners.model, self._owners.model):
            following.follow(optimizer)
            lens.skip()  # the lens has not seen the beginning of this step
            return lens
        return self._renewed(replace(owners, optimizer=optimizer), roots, evidence, lens, following, on_made)

    def _renewed(
        self,
        owners: Owners,
        roots: Sequence[Tensor],
        evidence: Evidence,
        lens: TrackedLens,
        following: OptimizerChanges,
        on_made: Callable[[TrackedLens], None],
    ) -> TrackedLens:
        """Closes a lens, and returns a new one that continues its run."""
        assert self._groups is not None
        self._groups = over(self._groups, self.search.num_classes)
        self._without_data = WithoutData(self._groups, known=self.search.known)
        counts = self.search.counts_of(self._groups)
        following.stop()
        step, epoch = lens.step, lens.epoch
        lens.close()
        lens = attach(
            self._options,
            self._folder,
            self._groups,
            self.search.num_classes,
            counts,
            owners,
            roots,
            evidence,
            resume=True,
        )
        on_made(lens)
        announce(self._options, self._folder, owners, evidence, self._described(self._groups), self._engine_of(lens))
        self._owners = owners
        lens.step, lens.epoch = step, epoch
        message = self._growth(self._groups) if self.grown else f"training goes on with another model: {owners.name}"
        lens.event("model", message=message, model=owners.name)
        if self.grown:
            say(message)
        self.grown = False
        lens.skip()
        return lens

    def _growth(self, groups: ClassGroups) -> str:
        message = f"the classifier has grown to {self.search.num_classes} classes"
        if (groups.of_class() < 0).any():
            message += "; those in no group count as 'rest': --groups NAME=IDS,... may name classes before they come"
        return message

    def _optimizer_found(self) -> None:
        self.every_backward = False


def _classes(
    options: TrackOptions, loaders: Sequence[tuple[DataLoader[Any], DrawnSamples]], evidence: Evidence
) -> Classes:
    """Returns the number of classes, or of the values of the attribute that the groups are made of."""
    if evidence.members is not None:
        named = options.groups_from
        return Classes(
            int(evidence.members.max()) + 1 if named is None else int(str(named["num_classes"])), named is not None
        )
    told = evidence.num_classes
    return told_by_data(options, loaders, evidence.labels) if told is None else Classes(told)


def _same(a: nn.Module, b: nn.Module) -> bool:
    if type(a) is type(b) is nn.ModuleDict:  # several modules; each search puts them into a new ModuleDict
        return [id(part) for part in a.children()] == [id(part) for part in b.children()]
    return a is b


def _holds(gradient: Tensor | None) -> bool:
    if gradient is None:
        return False
    part = local(gradient)
    return bool(part.count_nonzero() if not part.is_sparse else part._nnz())
