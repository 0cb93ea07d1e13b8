"""Detectors of torchvision: classes of boxes are groups, and each loss is a component, against the losses of only these boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens import ClassGroups, Lens
from gradlens.batch.rows import LabelsError
from gradlens.integrations.torchvision import BoxRows
from tests.lens.oracle import apart, gram

pytest.importorskip("torchvision")
pytestmark = pytest.mark.usefixtures("one_thread")
GROUPS = ClassGroups({"background": [0], "one": [1], "others": [2, 3]}, 4)


def body() -> nn.Module:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
    body.out_channels = 8
    return body


def anchors() -> Any:
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    return AnchorGenerator(((8, 16),), ((1.0,),))


def faster_rcnn() -> nn.Module:
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
    from torchvision.ops import MultiScaleRoIAlign

    return FasterRCNN(
        body(),
        rpn_anchor_generator=anchors(),
        box_roi_pool=MultiScaleRoIAlign(["0"], 3, 2),
        box_head=nn.Sequential(nn.Flatten(), nn.Linear(72, 16), nn.ReLU()),
        box_predictor=FastRCNNPredictor(16, 4),
        box_batch_size_per_image=16,
        rpn_pre_nms_top_n_train=50,
        rpn_post_nms_top_n_train=20,
        min_size=32,
        max_size=32,
    )


def retinanet() -> nn.Module:
    from torchvision.models.detection import RetinaNet

    return RetinaNet(body(), num_classes=4, anchor_generator=anchors(), min_size=32, max_size=32)


def pictures(dtype: torch.dtype, seed: int = 1) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    g = torch.Generator().manual_seed(seed)
    targets = []
    for _ in range(2):
        low = torch.rand(3, 2, generator=g) * 18
        high = low + 8 + 4 * torch.rand(3, 2, generator=g)
        targets.append({"boxes": torch.cat([low, high], 1).to(dtype), "labels": torch.tensor([1, 2, 3])})
    return [torch.rand(3, 32, 32, generator=g).to(dtype) for _ in range(2)], targets


def measured(model: nn.Module, oracle: Any) -> tuple[Any, list[np.ndarray], np.ndarray]:
    """Measures one step, and returns the measurement, the oracle's Gram of each component, and that of the rest."""
    params = [p for p in model.parameters() if p.requires_grad]
    with Lens(model, GROUPS, every=1, strict=True) as lens, BoxRows(model) as boxes:
        losses = model(*pictures(params[0].dtype))
        parts, rest = oracle(losses, boxes)

        def pulled(scalar: Tensor) -> list[Tensor | None]:
            return list(torch.autograd.grad(scalar, params, retain_graph=True, allow_unused=True))

        truth = [gram([pulled(scalar) for scalar in scalars]) for scalars in parts]
        of_rest = gram([pulled(rest)]) if isinstance(rest, Tensor) else np.zeros((1, 1))
        lens.backward(losses, boxes.labels, boxes.outputs)
        assert lens.last is not None
        return lens.last, truth, of_rest


def block(m: Any, component: str) -> np.ndarray:
    at = [m.names.index(f"{component}/{group}") for group in GROUPS.names]
    return m.gram[np.ix_(at, at)]


def test_faster_rcnn() -> None:
    model = faster_rcnn()
    noted: list[Tensor] = []
    ordinary = model.roi_heads.box_coder.encode
    model.roi_heads.box_coder.encode = lambda *args: noted.extend(ordinary(*args)) or tuple(noted)

    def oracle(losses: dict[str, Tensor], boxes: BoxRows) -> Any:
        (scores, deltas), y = boxes.outputs, boxes.labels
        each = F.cross_entropy(scores, y, reduction="none") / len(y)
        targets, found = torch.cat([t for t in noted if t.ndim == 2]), torch.nonzero(y > 0).flatten()
        far = deltas.reshape(len(y), -1, 4)[found, y[found]] - targets[found]
        smooth = torch.where(far.abs() < 1 / 9, 4.5 * far**2, far.abs() - 1 / 18).sum(1) / len(y)
        assert each.sum().item() == pytest.approx(losses["loss_classifier"].item(), rel=1e-5)
        assert smooth.sum().item() == pytest.approx(losses["loss_box_reg"].item(), rel=1e-5)
        inside = [torch.isin(y, torch.tensor(classes)) for classes in GROUPS.classes]
        parts = [[(each * i).sum() for i in inside], [(smooth * i[found]).sum() for i in inside]]
        return parts, losses["loss_objectness"] + losses["loss_rpn_box_reg"]

    m, (of_classes, of_boxes), rest = measured(model, oracle)
    assert m.counts.sum() == 32
    assert (m.counts > 0).all(), "the pictures must have boxes of each group"
    assert apart(block(m, "loss_classifier"), of_classes) <= 1e-4
    assert apart(block(m, "loss_box_reg")[1:, 1:], of_boxes[1:, 1:]) <= 1e-4
    assert block(m, "loss_box_reg")[0, 0] <= 1e-12, "background has no box"
    assert np.isnan(block(m, "loss_objectness")).all(), "proposals have no class"
    assert m.norm("rest") ** 2 == pytest.approx(rest[0, 0], rel=1e-4)


def test_retinanet() -> None:
    model = retinanet().double()  # the background's gradient is a thousandth of the whole, and taken as a difference

    def oracle(losses: dict[str, Tensor], boxes: BoxRows) -> Any:
        (scores, _), y = boxes.outputs, boxes.labels
        parts: list[list[Tensor]] = [[], []]
        hot = F.one_hot(y.clamp(min=0), 4).double() * (y > 0).unsqueeze(-1)
        right = torch.where(hot == 1, scores, -scores)
        focal = -torch.where(hot == 1, 0.25, 0.75) * (-right).sigmoid() ** 2 * F.logsigmoid(right)
        focal = focal * (y >= 0).unsqueeze(-1)
        each = focal.sum(2) / (y > 0).sum(1, keepdim=True).clamp(min=1) / 2
        assert each.sum().item() == pytest.approx(losses["classification"].item(), rel=1e-4)
        for classes in GROUPS.classes:
            parts[0].append((each * torch.isin(y, torch.tensor(classes))).sum())
        (seed,) = torch.autograd.grad(losses["bbox_regression"], [boxes.outputs[1]], retain_graph=True)
        for classes in GROUPS.classes[1:]:  # each anchor's box has a loss of its own
            parts[1].append((boxes.outputs[1] * seed * torch.isin(y, torch.tensor(classes)).unsqueeze(-1)).sum())
        return parts, None

    m, (of_classes, of_boxes), _ = measured(model, oracle)
    assert (m.counts > 0).all(), "the pictures must have anchors of each group"
    assert apart(block(m, "classification"), of_classes) <= 1e-4
    assert apart(block(m, "bbox_regression")[1:, 1:], of_boxes) <= 1e-4
    assert np.nan_to_num(m.norm("rest")) <= 1e-6 * m.norm()


def test_the_model_is_as_before() -> None:
    model = faster_rcnn()
    boxes = BoxRows(model)
    with pytest.raises(LabelsError, match="has not run in training mode"):
        _ = boxes.labels
    boxes.close()
    assert "select_training_samples" not in vars(model.roi_heads)
    assert not model.roi_heads.box_predictor._forward_hooks


def test_other_models_are_refused() -> None:
    with pytest.raises(TypeError, match="Linear is no Faster, Mask or Keypoint R-CNN"):
        BoxRows(nn.Linear(2, 2))
