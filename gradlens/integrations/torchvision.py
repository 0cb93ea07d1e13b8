"""BoxRows: the rows and labels of the boxes of torchvision's detectors, for ``Lens.backward``.

A detector of torchvision returns losses, and keeps to itself which boxes they are about. ``BoxRows`` notes that.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from gradlens.batch.rows import LabelsError

# The label of a box that no loss counts: its overlap is too large for background and too small for an object.
IGNORED = -100
# How torchvision's matcher marks boxes that are background.
BACKGROUND = -1


class BoxRows:
    """Notes the boxes of each forward pass of a detector in training mode.

    It knows Faster, Mask and Keypoint R-CNN (the boxes of the second stage) and RetinaNet and FCOS (all anchors). Class 0 is the
    background, as in torchvision. Losses of other rows (proposals, masks, keypoints) go around these boxes, and count as
    ``rest``.

    Attributes:
        outputs: What the model computed for the boxes: class scores first. Each has the rows of ``labels``.
        labels: The class of each box.

    Example:
        >>> boxes = BoxRows(model)  # doctest: +SKIP
        >>> losses = model(images, targets)  # doctest: +SKIP
        >>> lens.backward(losses, boxes.labels, boxes.outputs)  # doctest: +SKIP
    """

    def __init__(self, model: nn.Module) -> None:
        """Starts to note.

        Args:
            model: The detector, without wrappers such as DistributedDataParallel.

        Raises:
            TypeError: It is none of these detectors.
        """
        self._outputs: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._leave: list[Callable[[], None]] = []
        heads: Any = getattr(model, "roi_heads", None)
        head: Any = getattr(model, "head", None)
        if hasattr(heads, "select_training_samples") and isinstance(heads.box_predictor, nn.Module):
            self._wrap(heads, "select_training_samples", self._sampled)
            handle = heads.box_predictor.register_forward_hook(self._predicted)
            self._leave.append(handle.remove)
        elif isinstance(head, nn.Module) and hasattr(head, "compute_loss"):
            self._wrap(head, "compute_loss", self._matched)
        else:
            raise TypeError(
                f"{type(model).__name__} is no Faster, Mask or Keypoint R-CNN, RetinaNet or FCOS of torchvision; name its rows "
                "yourself: lens.backward(losses, labels, outputs)"
            )

    @property
    def outputs(self) -> list[Tensor]:
        """The outputs of the last forward pass.

        Raises:
            LabelsError: There was none in training mode.
        """
        self._check()
        return self._outputs

    @property
    def labels(self) -> Tensor:
        """The class of each box, [boxes] or [pictures, anchors]; 0 is the background.

        Raises:
            LabelsError: There was no forward pass in training mode.
        """
        self._check()
        return self._labels[0] if len(self._labels) == 1 else torch.cat(self._labels)

    def close(self) -> None:
        """Stops noting, and leaves the model as it was."""
        while self._leave:
            self._leave.pop()()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self) -> None:
        if not self._outputs or not self._labels:
            raise LabelsError(
                "the detector has not run in training mode since BoxRows was made; call model(images, targets) first"
            )

    def _wrap(self, owner: Any, name: str, note: Callable[..., None]) -> None:
        ordinary = getattr(owner, name)

        def noting(*args: Any, **kwargs: Any) -> Any:
            result = ordinary(*args, **kwargs)
            note(result, *args, **kwargs)
            return result

        owner.__dict__[name] = noting  # beside the method of the class, which comes back when this is removed
        self._leave.append(lambda: owner.__dict__.pop(name, None))

    def _sampled(self, result: Any, *_: Any) -> None:
        self._labels, self._outputs = list(result[2]), []

    def _predicted(self, module: nn.Module, args: Any, output: Any) -> None:  # noqa: ARG002
        if module.training:
            self._outputs = list(output)

    def _matched(self, losses: Any, targets: Any, head_outputs: Any, anchors: Any, matched_idxs: Any) -> None:  # noqa: ARG002
        with torch.no_grad():
            self._labels = [
                torch.stack([_classes(t["labels"], at) for t, at in zip(targets, matched_idxs, strict=True)])
            ]
        self._outputs = list(head_outputs.values())


def _classes(labels: Tensor, matched: Tensor) -> Tensor:
    """Returns the class of each anchor of a picture.

    Args:
        labels: [objects] classes of the picture's objects.
        matched: [anchors] the object that each anchor belongs to; BACKGROUND, or another negative number for no loss at all.
    """
    found = torch.where(matched == BACKGROUND, 0, IGNORED)
    inside = matched >= 0
    found[inside] = labels[matched[inside]]
    return found
