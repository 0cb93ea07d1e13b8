"""Tests on the GPU that the lens changes no bit of 30 training steps: weights, buffers, optimizer and random state.

The control is a second plain training. If that differs too, the kernels are not deterministic, and the test says nothing.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from gpu.networks import GROUPS, NETWORKS, SMALL
from gpu.precision import autocast, prepare, scaler_for
from gpu.record import Record, deterministic, parser
from torch import Tensor

from gradlens import Lens

BATCH = 32


def train(name: str, precision: str, engine: str | None, device: str, steps: int) -> tuple[dict[str, Tensor], Any]:
    """Trains a network and returns its state and the lens.

    With an engine, a lens measures every step; without one, there is no lens (None).
    """
    network = NETWORKS[name]
    torch.manual_seed(1)
    model = network.build().to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scaler = scaler_for(precision, device)
    lens = None
    if engine is not None:
        lens = Lens(
            model,
            GROUPS,
            optimizer=optimizer,
            every=1,
            engine=engine,
            layers=True,
            update=True,
            announce=lambda _: None,
        )
    losses = []
    for _ in range(steps):
        inputs, labels = network.batch(BATCH, device)
        optimizer.zero_grad()
        with autocast(precision, device):
            loss = network.rows(model(inputs), labels).mean()
        if lens is None:
            scaler.scale(loss).backward()
        else:
            lens.backward(scaler.scale(loss), labels)
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.detach())
    if lens is not None:
        lens.close()
    state = {f"model.{key}": value for key, value in model.state_dict().items()}
    for number, values in optimizer.state_dict()["state"].items():
        state |= {f"optimizer.{number}.{key}": torch.as_tensor(value) for key, value in values.items()}
    state |= {"losses": torch.stack(losses), "random.cpu": torch.get_rng_state()}
    if device.startswith("cuda"):
        state["random.cuda"] = torch.cuda.get_rng_state()
    return {key: value.detach().cpu().clone() for key, value in state.items()}, lens


def different(a: dict[str, Tensor], b: dict[str, Tensor]) -> list[str]:
    """Returns the names of the tensors that differ in any bit. NaN counts as equal to NaN."""
    return [key for key in a if not torch.equal(a[key].nan_to_num(3e38), b[key].nan_to_num(3e38))] + sorted(
        a.keys() ^ b.keys()
    )


def main() -> None:
    """Trains each network twice without a lens, and with each engine."""
    arguments = parser(__doc__)
    arguments.add_argument("--precision", default="default")
    args = arguments.parse_args()
    deterministic()
    prepare(args.precision)
    warnings.simplefilter("ignore")
    record = Record(args.out)
    steps = 3 if args.small else 30
    for name in SMALL if args.small else NETWORKS:
        plain = train(name, args.precision, None, args.device, steps)[0]
        control = different(plain, train(name, args.precision, None, args.device, steps)[0])
        for engine in ("masked", "split", "func"):

            def compare(
                name: str = name, engine: str = engine, plain: Any = plain, control: Any = control
            ) -> dict[str, Any]:
                state, lens = train(name, args.precision, engine, args.device, steps)
                found = different(plain, state)
                last = lens.last
                return {
                    "engine_used": lens.engine_name,
                    "identical": not found,
                    "differs": found[:5],
                    "control_differs": control[:5],
                    "measured_steps": 0 if last is None else last.step + 1,
                }

            record.attempt({"network": name, "precision": args.precision, "engine": engine, "steps": steps}, compare)


if __name__ == "__main__":
    main()
