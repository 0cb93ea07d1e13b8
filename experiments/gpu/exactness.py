"""Tests exactness on the GPU: inner products of the groups' gradients against brute force in the same precision.

Brute force repeats the same forward pass bit for bit on a copy of the model (``same_graph`` says whether the outputs are equal).
Then it runs a backward pass of each group's masked loss over this one graph. Errors are relative to the norms of the gradients.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from gpu.networks import GROUPS, NETWORKS, SMALL, Network
from gpu.precision import PRECISIONS, autocast, prepare, scaler_for
from gpu.record import Record, deterministic, parser
from torch import Tensor, nn

from gradlens import Lens

BATCH = 64
UNCHECKED = 3  # the first measurement in which no engine is checked
ENGINES = ("auto", "masked", "split", "func")


def gram_of(vectors: list[tuple[Tensor | None, ...]]) -> Tensor:
    """Returns [K, K] float64 inner products of K gradients. Each gradient is a tuple with a tensor or None per parameter."""
    found = torch.zeros(len(vectors), len(vectors), dtype=torch.float64)
    for parts in zip(*vectors, strict=True):
        if all(part is None for part in parts):
            continue
        like = next(part for part in parts if part is not None)
        flat = torch.stack([(torch.zeros_like(like) if part is None else part).reshape(-1).double() for part in parts])
        found += (flat @ flat.T).cpu()
    return found


def brute_force(network: Network, model: nn.Module, batch: tuple[Tensor, Tensor], precision: str, scale: float) -> Any:
    """Returns the [K, K] inner products by brute force, and the output of the forward pass."""
    inputs, labels = batch
    device = str(inputs.device)
    torch.manual_seed(7)
    with autocast(precision, device):
        output = model(inputs)
        rows = network.rows(output, labels)
    params = [param for param in model.parameters() if param.requires_grad]
    vectors = []
    for classes in GROUPS.classes:
        mask = torch.isin(labels, torch.tensor(classes, device=labels.device))
        part = scale * (rows * mask).sum() / rows.numel()
        found = torch.autograd.grad(part, params, retain_graph=True, allow_unused=True)
        vectors.append(tuple(None if gradient is None else gradient.double() / scale for gradient in found))
    return gram_of(vectors), output.detach()


def measured(
    network: Network, model: nn.Module, batch: tuple[Tensor, Tensor], precision: str, engine: str, labels: Tensor
) -> dict[str, Any]:
    """Takes equal steps under a lens and returns its measurements by step, the engine, its messages and the first output.

    In a checked step the numbers come from the masked engine. So only a later step tests the engine. On a GPU the numbers of a
    step arrive with the next measured step.
    """
    inputs, targets = batch
    device = str(inputs.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    scaler = scaler_for(precision, device)
    said: list[str] = []
    outputs = []
    seen: dict[int, Any] = {}
    with Lens(model, GROUPS, optimizer=optimizer, every=1, engine=engine, announce=said.append) as lens:
        for _ in range(UNCHECKED + 2):
            optimizer.zero_grad()
            torch.manual_seed(7)
            with autocast(precision, device):
                output = model(inputs)
                loss = network.rows(output, targets).mean()
            outputs.append(output.detach())
            lens.backward(scaler.scale(loss), labels)
            scaler.step(optimizer)
            scaler.update()
            if lens.last is not None:
                seen[lens.last.step] = lens.last
        used, reason = lens.engine_name, lens.engine_reason
    return {"seen": seen, "engine_used": used, "reason": reason[:200], "said": said, "output": outputs[0]}


def compared(name: str, precision: str, engine: str, device: str, labels_on: str) -> dict[str, Any]:
    """Returns the errors of one network, precision and engine."""
    network = NETWORKS[name]
    torch.manual_seed(0)
    model = network.build().to(device).train()
    batch = network.batch(BATCH, device)
    scale = scaler_for(precision, device).get_scale()
    truth, output = brute_force(network, copy.deepcopy(model), batch, precision, scale)
    found = measured(network, model, batch, precision, engine, batch[1].to(labels_on))
    seen = found.pop("seen")
    if UNCHECKED not in seen:
        return {key: value for key, value in found.items() if key != "output"} | {"failed": "nothing was measured"}
    last = seen[UNCHECKED]
    gram = torch.from_numpy(last.gram)[: len(GROUPS), : len(GROUPS)]
    norms = truth.diagonal().sqrt()
    return {
        "engine_used": found["engine_used"],
        "reason": "" if found["engine_used"] == engine else found["reason"],
        "said": found["said"],
        "same_graph": torch.equal(found["output"], output),
        "gram_error": float(((gram - truth).abs() / torch.outer(norms, norms)).max()),
        "norm_error": float(((gram.diagonal().sqrt() - norms).abs() / norms).max()),
        "residual": seen[0].residual if 0 in seen else None,
    }


def main() -> None:
    """Measures each network with each engine."""
    arguments = parser(__doc__)
    arguments.add_argument("--precision", default="float32", choices=PRECISIONS)
    args = arguments.parse_args()
    deterministic()
    prepare(args.precision)
    warnings.simplefilter("ignore")
    record = Record(args.out)
    for name in SMALL if args.small else NETWORKS:
        for engine in ENGINES:
            for labels_on in (args.device, "cpu") if engine == "auto" and args.device != "cpu" else (args.device,):
                facts = {"network": name, "precision": args.precision, "engine": engine, "labels_on": labels_on}
                record.attempt(
                    facts,
                    lambda f=facts: compared(f["network"], f["precision"], f["engine"], args.device, f["labels_on"]),
                )


if __name__ == "__main__":
    main()
