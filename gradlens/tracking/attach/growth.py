"""Growth: whether a loss over more classes is that of the classifier measured so far, which has grown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from gradlens.tracking.find.classifiers import classifier_of
from gradlens.tracking.find.evidence import class_count
from gradlens.tracking.find.sightings import Found
from gradlens.tracking.find.targets import contrasts


class MeasuredClassifier:
    """The layer that the measured logits come from."""

    def __init__(self, logits: Tensor) -> None:
        """Notes the layer.

        Args:
            logits: [B, C, ...] of the first backward pass that is measured.
        """
        self._params = classifier_of(logits)

    def grown(self, found: Sequence[Found], classes: int, params: Iterable[Tensor]) -> int | None:
        """Returns over how many classes the classifier is now; None where it has not grown.

        A classifier has grown where the logits have become wider and its parameters are part of the wider one, or gone from
        the model. Another head of the model, for another task, leaves them in place.

        Args:
            found: Loss calls of a backward pass.
            classes: C so far.
            params: The model's parameters now.
        """
        if all(class_count(item.sighting) <= classes for item in found):
            return None
        calls = [item.sighting for item in found if not contrasts(item.sighting)]
        if not self._params or any(class_count(call) == classes for call in calls):
            return None
        wider = [call for call in calls if class_count(call) > classes]
        left = self._params & {id(param) for param in params} if wider else frozenset()
        return next((class_count(call) for call in wider if left <= classifier_of(call.anchor)), None)
