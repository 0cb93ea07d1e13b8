"""Growth: finds out whether the measured classifier has grown to more classes during the training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from gradlens.tracking.find.classifiers import classifier_of
from gradlens.tracking.find.evidence import class_count
from gradlens.tracking.find.loss_calls import LossNode
from gradlens.tracking.find.targets import contrasts


class MeasuredClassifier:
    """The classifier of the measured training: the layer that computes its logits."""

    def __init__(self, logits: Tensor) -> None:
        """Finds the layer and keeps which parameters it has.

        Args:
            logits: [B, C, ...] logits of the first backward pass that is measured.
        """
        self._params = classifier_of(logits)

    def grown(self, found: Sequence[LossNode], classes: int, params: Iterable[Tensor]) -> int | None:
        """Returns the number of classes of a classifier that has grown; None if it has not.

        It has grown if there are logits of more classes, and its parameters are those of the wider layer, or are no longer in
        the model. A second head of the model, for another task, leaves the classifier's parameters in the model.

        Args:
            found: The loss calls of a backward pass.
            classes: C so far.
            params: The model's parameters now.
        """
        if all(class_count(item.call) <= classes for item in found):
            return None
        calls = [item.call for item in found if not contrasts(item.call)]
        if not self._params or any(class_count(call) == classes for call in calls):
            return None
        wider = [call for call in calls if class_count(call) > classes]
        left = self._params & {id(param) for param in params} if wider else frozenset()
        return next((class_count(call) for call in wider if left <= classifier_of(call.anchor)), None)
