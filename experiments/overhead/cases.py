"""The cases of the overhead benchmark: models, a batch with few tail rows, and the exact numbers in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gradlens.groups import ClassGroups
from gradlens.longtail.networks.resnet_cifar import ResNetCifar

CLASSES = 100
GROUPS = ClassGroups({"head": range(70), "tail": range(70, 100)}, CLASSES)
TAIL_SHARE = 0.05


@dataclass
class Setup:
    """The model and the batch of a method. Every method gets the same weights and the same batch.

    Attributes:
        model: The model, in train mode.
        optimizer: SGD with momentum. Its learning rate is so small that many steps do not make the numbers unusual.
        inputs: [B, 3, 32, 32] images.
        labels: [B] class ids.
        masks: [K, B] 1 where a row belongs to a group, else 0.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    inputs: Tensor
    labels: Tensor
    masks: Tensor

    @property
    def params(self) -> list[nn.Parameter]:
        """The parameters in the order of the model."""
        return list(self.model.parameters())


@dataclass(frozen=True)
class Case:
    """A model and a batch size.

    Attributes:
        title: Title in the table.
        build: Makes the model.
        batch: Batch size B.
    """

    title: str
    build: Callable[[], nn.Module]
    batch: int

    def setup(self, device: str, seed: int) -> Setup:
        """Returns model, optimizer and batch. They are the same for the same seed."""
        torch.manual_seed(seed)
        model = self.build().to(device).train()
        tail = max(1, round(TAIL_SHARE * self.batch))
        labels = torch.cat([torch.randint(0, 70, (self.batch - tail,)), torch.randint(70, 100, (tail,))])
        labels = labels[torch.randperm(self.batch)].to(device)
        inputs = torch.randn(self.batch, 3, 32, 32).to(device)
        masks = torch.stack([labels < 70, labels >= 70]).float()
        return Setup(model, torch.optim.SGD(model.parameters(), 1e-4, 0.9), inputs, labels, masks)


def vision_transformer() -> nn.Module:
    """Returns a small vision transformer of timm: 4 blocks of width 96, 64 patches of 4 x 4 pixels and a class token.

    It has torch's LayerNorm instead of timm's subclass, which some of the other packages do not support.
    """
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=32,
        patch_size=4,
        num_classes=CLASSES,
        embed_dim=96,
        depth=4,
        num_heads=4,
        mlp_ratio=2.0,
        norm_layer=nn.LayerNorm,
    )


def cases(batch: int = 64, depth: int = 32) -> dict[str, Case]:
    """Returns name -> case."""
    return {
        "batchnorm": Case(f"ResNet-{depth}, BatchNorm", lambda: ResNetCifar(depth, CLASSES), batch),
        "groupnorm": Case(f"ResNet-{depth}, GroupNorm", lambda: ResNetCifar(depth, CLASSES, norm="group"), batch),
        "vit": Case("ViT, 4 blocks of width 96", vision_transformer, batch),
    }


def gram_of(vectors: list[list[Tensor | None]]) -> Tensor:
    """Returns [K, K] float64 inner products of K gradients. Each gradient is a list of P tensors or None."""
    found = torch.zeros(len(vectors), len(vectors), dtype=torch.float64)
    for parts in zip(*vectors, strict=True):
        flat = torch.stack([part.reshape(-1).double() for part in parts if part is not None])
        found += (flat @ flat.T).cpu()
    return found


def grouped_gram(per_sample: list[Tensor], masks: Tensor) -> Tensor:
    """Returns [K, K] float64 inner products of the groups' gradients.

    Args:
        per_sample: For each parameter, [B, *parameter] gradients of single samples.
        masks: [K, B] weights of the samples in each group.
    """
    found = torch.zeros(len(masks), len(masks), dtype=torch.float64)
    for gradients in per_sample:
        sums = (masks @ gradients.reshape(len(gradients), -1)).double()  # [K, n]
        found += (sums @ sums.T).cpu()
    return found


class Gates(TorchFunctionMode):
    """Notes where ReLUs are positive, or uses what another one has noted.

    An activation very close to zero may have another sign in float64. Then the gradients of float32 and float64 differ (by 2e-4
    for a ResNet), since the ReLUs are differentiated on different sides. This says nothing about how exact a method is.
    """

    def __init__(self, noted: list[Tensor] | None = None) -> None:
        """Prepares.

        Args:
            noted: Where each ReLU is positive, in the order of the calls; None = note it.
        """
        super().__init__()
        self.noted: list[Tensor] = []
        self._repeat = None if noted is None else iter(noted)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs every function as it is. With ``noted``, a ReLU multiplies with what was noted instead."""
        if func not in (F.relu, torch.relu, Tensor.relu):
            return func(*args, **(kwargs or {}))
        if self._repeat is not None:
            return args[0] * next(self._repeat)
        output = func(*args, **(kwargs or {}))
        self.noted.append(output.detach() > 0)
        return output


def brute_force(setup: Setup) -> Tensor:
    """Returns [K, K] inner products from a forward and backward pass of a float64 copy for each group.

    The ReLUs of the copy are positive where those of a float32 pass are.
    """
    with torch.no_grad(), Gates() as gates:
        copy.deepcopy(setup.model)(setup.inputs)
    vectors: list[list[Tensor | None]] = []
    for mask in setup.masks.double():
        twin = copy.deepcopy(setup.model).double()
        with Gates(gates.noted):
            rows = F.cross_entropy(twin(setup.inputs.double()), setup.labels, reduction="none")
        vectors.append(list(torch.autograd.grad((rows * mask).mean(), list(twin.parameters()))))
    return gram_of(vectors)


def gram_error(found: Tensor, truth: Tensor) -> float:
    """Returns the largest error of an inner product, relative to the product of the two true norms."""
    norms = truth.diagonal().sqrt()
    return float(((found.double() - truth).abs() / torch.outer(norms, norms)).max())
