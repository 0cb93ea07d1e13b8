"""GroupSearch: finds the class counts, and chooses the groups.

Both happen at the first backward pass if the dataset tells its class counts. If not, the labels of a pass over the data are
counted first.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from gradlens.distributed.exchange import processes, shared_counts
from gradlens.groups import ClassGroups
from gradlens.tracking.errors import WrongUse
from gradlens.tracking.find.class_counts import ClassCounts, count_classes
from gradlens.tracking.find.drawn_samples import DrawnSamples
from gradlens.tracking.find.group_choice import by_frequency, choose_groups, counts_tokens, needs_counts
from gradlens.tracking.find.label_counter import LabelCounter
from gradlens.tracking.find.repeats import Repeats
from gradlens.tracking.find.token_counts import count_tokens
from gradlens.tracking.options import TrackOptions

# The labels of this many backward passes are counted if the end of a pass over the data cannot be seen.
COUNTED = 100
# The tokens of this many backward passes are counted, if the data does not tell them: a batch has thousands.
COUNTED_TOKENS = 20
# The end of a pass is waited for if it has at most this many batches.
LONGEST = 10_000
# If the number of classes is not known, class ids below this are counted.
OPEN = 1000
# After this many passes' worth of batches, the end of the pass is no longer waited for: the script uses its batches again
# without a new pass (itertools.cycle), or trains from another loader.
PATIENCE = 2


class GroupSearch:
    """Looks for the class counts and chooses the groups.

    Attributes:
        num_classes: C.
        counts: [C] class counts; None until they are known.
        known: Whether C is final. If not, it is the number of classes that the labels so far need.
    """

    def __init__(
        self,
        options: TrackOptions,
        num_classes: int,
        loaders: Sequence[tuple[DataLoader[Any], DrawnSamples]],
        labels: Tensor,
        *,
        known: bool = True,
        ignored: int = -100,
    ) -> None:
        """Reads the class counts if possible.

        Args:
            options: The options of the command line.
            num_classes: C, the number of classes of the logits.
            loaders: Loaders that may train, each with the samples that were drawn from it, the most likely first.
            labels: Labels of the first batch. Class counts that do not fit them belong to other data.
            known: Whether C is final.
            ignored: The label that the loss ignores.
        """
        self._ignored, self._tokens = ignored, counts_tokens(options)
        self.num_classes, self.known = num_classes, known
        self._counted = num_classes if known else max(num_classes, OPEN)
        self._counts_first = needs_counts(options) or (options.groups == "per-class" and not known)
        self.counts: NDArray[np.int64] | None = None
        self._options = options
        self._source: str | None = None
        self._counter: LabelCounter | None = None
        trains = loaders[0][0] if loaders else None
        found = None
        for loader, drawn in loaders:
            found = count_classes(
                loader, self._counted, partial(may_be, labels, drawn, sure=options.members is not None)
            )
            if found is not None and fits(found, labels):
                trains = loader
                break
        tokens = self._counted_tokens(loaders, labels)
        if tokens is not None:
            self.counts, self._source = tokens.counts, tokens.source
        elif found is not None and fits(found, labels) and (labels.ndim == 1 or not self._tokens):
            self.counts, self._source = found.counts, found.source
        elif (whole := _whole(labels, self._counted)) is not None:
            self.counts, self._source = whole, "the tensor that the labels are slices of"
        self.counts = self._of_known(self._of_all(self.counts))
        # A weak reference: the script may make its data anew for each pass, and the old data must not be kept alive.
        self._loader = None if trains is None else weakref.ref(trains)
        self._pass = _batches(trains)
        # Not with several processes: they train on other labels, and must all count until the same moment.
        self._repeats: Repeats | None = None
        self._may_repeat = (trains is None or self._pass == 1) and processes() == 1

    def _counted_tokens(
        self, loaders: Sequence[tuple[DataLoader[Any], DrawnSamples]], labels: Tensor
    ) -> ClassCounts | None:
        if not self._tokens:
            return None
        found = (count_tokens(loader, drawn, labels, self.num_classes, self._ignored) for loader, drawn in loaders)
        return next((each for each in found if each is not None), None)

    def offer(self, labels: Tensor, step: int, *, pass_over: bool) -> ClassGroups | None:
        """Returns the groups, or None while labels are counted.

        Args:
            labels: Labels of this backward pass.
            step: Number of its training step.
            pass_over: Whether the first pass over the data has ended, and this batch belongs to the next one.

        Raises:
            WrongUse: The groups in the options cannot be made from the counts.
        """
        counter, repeats = self._counter, self._repeats
        again = repeats is not None and repeats.again(labels, step)
        if repeats is not None and again and repeats.alone:
            self._source = "the labels of the first step, which came again"
            self.counts = self._of_known(repeats.counts())
        elif counter is not None and pass_over:
            self._source = "the labels of the first pass"
            self.counts = self._of_known(self._of_all(counter.counts()))
        elif counter is not None and (again or counter.batches >= self._enough):
            # The labels may be those of several passes, or of a part of one. So the frequent classes are known, but not the
            # number of images of each class.
            seen = self._of_known(self._of_all(counter.counts()))
            assert seen is not None
            of = f"labels of the first {counter.batches} backward passes"
            if self._tokens or not needs_counts(self._options):
                return choose_groups(self._options, self.num_classes, seen, of, self._ignored)
            return by_frequency(seen, of)
        if self.counts is not None or not self._counts_first:
            return choose_groups(self._options, self.num_classes, self.counts, self._source, self._ignored)
        if counter is None:
            counter = self._counter = LabelCounter(self._counted)
            self._repeats = Repeats(labels, step, self._counted) if self._may_repeat else None
        counter.add(labels)
        return None

    def grow(self, num_classes: int) -> None:
        """Is called when the classifier has grown to ``num_classes`` classes. From now on, their labels are counted, too."""
        more = num_classes - self.num_classes
        self.num_classes = num_classes
        if self.counts is not None:
            self.counts = np.pad(self.counts, (0, more))
        if self._counter is not None:
            self._counter.grow(num_classes)

    def counts_of(self, groups: ClassGroups) -> NDArray[np.int64] | None:
        """Returns [C'] class counts for the C' classes of ``groups``, zero for classes to come; None if not known."""
        return None if self.counts is None else np.pad(self.counts, (0, groups.num_classes - len(self.counts)))

    @property
    def _enough(self) -> int:
        """Number of backward passes after which counting ends in any case."""
        if self._tokens:
            return COUNTED_TOKENS
        return COUNTED if self._pass is None else max(COUNTED, PATIENCE * self._pass)

    @property
    def loader(self) -> DataLoader[Any] | None:
        """The loader of the training data; None if there was none, or if it is gone."""
        return None if self._loader is None else self._loader()

    @property
    def waits(self) -> str:
        """Text for the user while labels are counted: which labels, and what happens after it."""
        if self._tokens:
            return (
                f"from counting the tokens of the first {COUNTED_TOKENS} backward passes, as the training data does not tell "
                "them; measured after it (--groups-from FILE measures from the start)"
            )
        span = f"a first pass or {COUNTED} backward passes" if self._pass is None else "the first pass over the data"
        return (
            f"from counting the labels of {span}, as the training data does not tell its class counts; measured after it "
            "(--groups NAME=IDS,... measures from the start)"
        )

    def _of_all(self, counts: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
        """Returns the class counts of the data of all processes that train together; None if some are not known."""
        shared, added = shared_counts(counts)
        if added and self._source is not None:
            self._source = f"{self._source}, added up over {processes()} processes"
        return shared

    def _of_known(self, counts: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
        """Returns the counts of C classes. If C was not known, the counts tell it."""
        if self.known or counts is None:
            return counts
        present = np.flatnonzero(counts)
        self.num_classes = max(self.num_classes, int(present[-1]) + 1 if len(present) else 0)
        self.known = True
        return counts[: self.num_classes]

    def unfinished(self) -> str:
        """Returns the line for a training that ended while its labels were counted. It says which option to add."""
        text = "training ended while its labels were being counted, so nothing was measured"
        if self._tokens:
            return f"{text}; give the groups with --groups-from FILE"
        counts = np.zeros(0, dtype=np.int64) if self._counter is None else self._counter.counts()
        try:
            groups = choose_groups(self._options, len(counts), counts, "")
        except WrongUse:
            return f"{text}; give the groups with --groups NAME=IDS,..."
        pairs = zip(groups.names, groups.classes, strict=True)
        return f"{text}; from its counts: --groups " + ",".join(f"{name}={_ids(ids)}" for name, ids in pairs)


def may_be(labels: Tensor, drawn: DrawnSamples, claimed: NDArray[np.int64], *, sure: bool = False) -> bool:
    """Says whether a batch's labels can be the dataset's labels of the drawn samples. If it cannot be told, returns ``not sure``.

    Args:
        labels: Labels of the batch.
        drawn: The samples that were drawn from the dataset.
        claimed: [N] class ids of the dataset's samples.
        sure: Whether doubt counts as no. The values of an attribute stand beside the labels, which many datasets name.
    """
    if labels.is_floating_point() or labels.ndim != 1 or not len(drawn) or not drawn.complete:
        return not sure
    return drawn.agree(claimed, labels.detach().cpu().numpy().astype(np.int64))


def fits(found: ClassCounts, labels: Tensor) -> bool:
    """Says whether class counts have samples of each label of a batch."""
    if labels.is_floating_point():
        return True
    ids = labels.detach().reshape(-1).cpu().numpy()
    ids = ids[(ids >= 0) & (ids < len(found.counts))]
    return bool((found.counts[ids] > 0).all())


def _whole(labels: Tensor, num_classes: int) -> NDArray[np.int64] | None:
    """Returns [C] counts of the whole label vector, if the batch's labels are a slice of one; otherwise None."""
    base = labels._base
    if base is None or base.ndim != 1 or labels.ndim > 1 or base.is_floating_point() or len(base) <= labels.numel():
        return None
    ids = base.detach().cpu().numpy().astype(np.int64)
    return np.bincount(ids, minlength=num_classes) if ids.min() >= 0 and ids.max() < num_classes else None


def _batches(loader: DataLoader[Any] | None) -> int | None:
    """Returns the number of batches of a pass; None if its end is not known or too far away to wait for."""
    batches = _length(loader)
    if loader is None or batches is None or batches > LONGEST:
        return None
    samples = _length(loader.dataset)
    # A sampler that draws with replacement may draw many more samples than the dataset has.
    longer = samples is not None and batches > math.ceil(samples / (loader.batch_size or 1))
    return None if longer else batches


def _length(sized: Any) -> int | None:
    try:
        return len(sized)
    except Exception:  # an iterable dataset, or a sampler without a length
        return None


def _ids(ids: Sequence[int]) -> str:
    """Writes ascending ids as the grammar of --groups reads them: (0, 1, 2, 5) -> '0-2+5'."""
    parts: list[list[int]] = []
    for c in ids:
        if parts and c == parts[-1][-1] + 1:
            parts[-1].append(c)
        else:
            parts.append([c])
    return "+".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
