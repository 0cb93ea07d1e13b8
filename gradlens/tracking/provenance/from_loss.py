"""LabelsOfLosses: takes the labels that a loss module was given, if they come from the batch and the data set knows them.

Three witnesses must agree: a module whose result is differentiated was given a tensor for a parameter that is named as labels
are; a loader has yielded these values; and the data set says that they are its labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from gradlens.autograd.graph import Leaf, edge_of, walk
from gradlens.batch.rows import LabelsError
from gradlens.tracking.find.batch_path import BatchPath, parse_path
from gradlens.tracking.find.evidence import Evidence
from gradlens.tracking.provenance.batches import Batches
from gradlens.tracking.provenance.dataset_labels import own_labels
from gradlens.tracking.provenance.given import Given, agree, chance_of, evidence_of, given_to
from gradlens.tracking.provenance.logits import favours_labels
from gradlens.tracking.provenance.loss_modules import LossModules, ModuleCall, modules_with_labels

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from gradlens.tracking.find.drawn_samples import DrawnSamples

# Values of another origin would be those of the batch with less than this probability, if they had the same frequencies.
CHANCE = 1e-6
# At most this many nodes between the loss and a module's result, or inside a module, are searched.
SEARCHED = 20_000
OTHER_LABELS = (
    "the loss was given other labels than those of its batch (mixed, shuffled or a teacher's); to measure such steps by the "
    "labels of the batch, add --labels {path}"
)
TWO_LABELS = (
    "losses were given the labels {shown}, and nothing says which are the classes; add {options}, or name them in the script: "
    "gradlens.observe(outputs, labels)"
)


class LabelsOfLosses:
    """Looks for such labels in the first steps; afterwards compares those of each measured step with the batch.

    Attributes:
        source: Where the labels come from, as text for the user; "" until that is known.
        hopeful: Whether the labels may be found in one of the next steps.
    """

    def __init__(
        self,
        batches: Batches,
        loaders: Callable[[], Sequence[tuple[DataLoader[Any], DrawnSamples]]],
        notice: Callable[[str, str], None],
        wanted: Callable[[], bool],
        fail: Callable[[Exception], None],
    ) -> None:
        """Keeps its arguments. The first call of ``evidence`` begins to watch.

        Args:
            batches: Keeps what the loaders yield.
            loaders: Returns the loaders that may train, each with the samples that were drawn from it.
            notice: Is called with a kind and a line for the user.
            wanted: Says whether calls are needed now.
            fail: Is given each error of gradlens in the training's own forward pass.
        """
        self._batches, self._loaders, self._notice = batches, loaders, notice
        self._wanted, self._fail = wanted, fail
        self._modules: LossModules | None = None
        self._path: BatchPath | None = None
        self._chances: dict[str, float] = {}
        self._of_classes = False
        self.source, self.hopeful = "", False

    @property
    def known(self) -> bool:
        """Whether the place of the labels is known."""
        return self._path is not None

    def listen(self, wanted: bool) -> None:
        """Starts or stops the watch of the modules, if there is one: a hook costs time in every forward pass."""
        if self._modules is not None:
            (self._modules.resume if wanted else self._modules.stop)()

    def stop(self) -> None:
        """Stops for good, and forgets everything."""
        self._batches.stop()
        if self._modules is not None:
            self._modules.stop()

    def evidence(self, roots: Sequence[Tensor]) -> Evidence | None:
        """Returns the evidence of a backward pass; None if it is not certain.

        Args:
            roots: The tensors that are differentiated.

        Raises:
            LabelsError: The place of the labels is known, and the loss was given others.
        """
        if self._modules is None:
            modules = modules_with_labels()
            self.hopeful = bool(modules)
            self._batches.used()
            self._modules = LossModules(modules, self._wanted, self._fail)
            return None
        calls = [call for call in _reached(self._modules.take(), roots) if given_to(call)]
        every = [(call, given_to(call)) for call in _outermost(calls)]
        if self._path is not None:
            return self._checked(every, self._path)
        found = [(given, paths) for _, own in every for given in own if (paths := self._paths(given))]
        self.hopeful = bool(found)
        matched = [given for given, _ in found]
        if not found or _others_reach(every, matched):
            self._chances.clear()
            return None
        common = set.intersection(*(set(paths) for _, paths in found))
        places = list(dict.fromkeys(path for _, paths in found for path in paths))
        if not common or (beside := self._beside(places, matched, roots)):
            self._ambiguous(places[:1] + (places[1:2] if not common else beside))
            return None
        path = next(path for path in places if path in common)
        chance = chance_of(matched[0].labels.labels) * self._chances.get(path, 1.0)
        self._chances = {path: chance}
        if chance >= CHANCE:
            return None
        self._path = parse_path(path, "--labels")
        self._batches.only((self._path,))
        self.source = f"from {path} ({found[0][1][path]})"
        self._of_classes = favours_labels(roots, matched[0].anchor, matched[0].labels.labels)
        return evidence_of(matched, self.source, columns_are_classes=self._of_classes)

    def _checked(self, every: Sequence[tuple[ModuleCall, list[Given]]], path: BatchPath) -> Evidence | None:
        """Returns the evidence of calls whose labels are those at a place of the batch; None if no loss was given labels."""
        known = [source for batch in self._batches.tensors() if isinstance(source := batch.get(path.text), Tensor)]
        found = [given for _, own in every for given in own if any(agree(given, source) for source in known)]
        if every and (not found or _others_reach(every, found)):
            raise LabelsError(OTHER_LABELS.format(path=path.text))
        return evidence_of(found, self.source, columns_are_classes=self._of_classes) if found else None

    def _beside(self, places: Sequence[str], matched: Sequence[Given], roots: Sequence[Tensor]) -> list[str]:
        """Returns places of other labels in the batch, if the loss has parts that are no results of the matched calls."""
        results = {edge_of(result) for given in matched for result in given.call.results}
        past = walk(map(edge_of, roots), stops=results, most=SEARCHED)
        if not any(type(node) is Leaf for node in past):
            return []
        batch = next(batch for batch in self._batches.tensors() if places[0] in batch)
        own = batch[places[0]]
        columns = {
            path: tensor
            for path, tensor in batch.items()
            if path not in places and tensor.ndim == 1 and not tensor.is_floating_point() and len(tensor) == len(own)
        }
        loaders = self._loaders()
        return [
            path for path, it in columns.items() if own_labels(parse_path(path, "--labels"), it, loaders) is not None
        ]

    def _paths(self, given: Given) -> dict[str, str]:
        """Returns the places in a kept batch where the labels come from, each with where the data set says so."""
        for batch in self._batches.tensors():
            found = {}
            for path, tensor in batch.items():
                if agree(given, tensor):
                    source = own_labels(parse_path(path, "--labels"), tensor, self._loaders())
                    if source is not None:
                        found[path] = source
            if found:
                return found
        return {}

    def _ambiguous(self, paths: Sequence[str]) -> None:
        names = list(dict.fromkeys(paths))
        options = " or ".join(f"--labels {name}" for name in names)
        self._notice("two labels", TWO_LABELS.format(shown=" and ".join(names), options=options))


def _reached(calls: Sequence[ModuleCall], roots: Sequence[Tensor]) -> list[ModuleCall]:
    """Returns the calls whose results the roots are computed from."""
    if not calls:
        return []
    results = {edge_of(result) for call in calls for result in call.results}
    nodes = set(walk(map(edge_of, roots), most=SEARCHED, leaves=False))
    return [call for call in calls if any(edge_of(r) in results and r.grad_fn in nodes for r in call.results)]


def _outermost(calls: Sequence[ModuleCall]) -> list[ModuleCall]:
    """Returns the calls that are no part of another call: their results are not between the other's arguments and results.

    A module may return what a part of it has returned. Then the part has ended first.
    """
    inner: set[int] = set()
    for at, call in enumerate(calls if len(calls) > 1 else ()):
        stops = {edge_of(argument) for argument in call.arguments}
        inside = set(walk(map(edge_of, call.results), stops=stops, leaves=False, most=SEARCHED))
        own = {result.grad_fn for result in call.results}
        for number, other in enumerate(calls):
            nodes = {result.grad_fn for result in other.results}
            if nodes <= inside and (nodes.isdisjoint(own) or number < at):
                inner.add(number)
    return [call for number, call in enumerate(calls) if number not in inner]


def _others_reach(every: Sequence[tuple[ModuleCall, Sequence[Given]]], matched: Sequence[Given]) -> bool:
    """Says whether a call with other labels goes through the same anchors (mixup): then a row has several labels."""
    nodes = {anchor.grad_fn for each in matched for anchor in each.anchors}
    mine = {id(each.call) for each in matched}
    others = [call.results for call, _ in every if id(call) not in mine]
    return any(
        not nodes.isdisjoint(walk(map(edge_of, results), ends=nodes, leaves=False, most=SEARCHED)) for results in others
    )
