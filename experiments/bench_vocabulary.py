"""Measures the memory of a measured step of a language model with a vocabulary of 50,257, beside a step that is not measured.

    python experiments/bench_vocabulary.py

Memory is the peak of the second step, each way in a process of its own (see ``overhead/peaks.py``): weights, activations,
gradients and scratch space. Groups are head, middle and tail of the vocabulary by counted tokens. "transformer" is one layer with
tied weights, measured by ``masked``; "rows" treats each token by itself, measured by ``split``. In "let go", the script drops its
logits before the backward pass, as the Trainer of Transformers does; gradlens keeps them until the pass is over.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent))
from environment import hardware, public_arguments, versions
from overhead.methods import Step
from overhead.peaks import peak_bytes

from gradlens import ClassGroups, Lens

VOCABULARY, WIDTH = 50_257, 64
CASES = {"transformer": "masked", "rows": "split", "transformer, let go": "masked"}


class Model(nn.Module):
    """An embedding, a layer, and a head over the vocabulary."""

    def __init__(self, mixes: bool) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(VOCABULARY, WIDTH), nn.Linear(WIDTH, VOCABULARY, bias=False)
        if mixes:
            self.head.weight = self.embed.weight
        self.layer: nn.Module = (
            nn.TransformerEncoderLayer(WIDTH, 4, 2 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
            if mixes
            else nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU())
        )

    def forward(self, x: Tensor) -> Tensor:
        """Returns logits [B, T, C]."""
        logits: Tensor = self.head(self.layer(self.embed(x)))
        return logits


@dataclass(frozen=True)
class VocabularyJob:
    """See ``overhead.peaks.Job``.

    Attributes:
        case: One of CASES.
        measured: Whether the step is measured.
        sequences: B.
        length: T.
        device: "cpu" or "cuda".
        threads: Threads of torch.
    """

    case: str
    measured: bool
    sequences: int
    length: int
    device: str = "cpu"
    threads: int = 1

    def step(self) -> Step:
        """Makes model, data and lens, and returns a step."""
        torch.manual_seed(0)
        rows = self.case == "rows"
        model = Model(not rows).to(self.device)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        often = 1.0 / torch.arange(1, VOCABULARY + 1).double()
        tokens = torch.multinomial(often, self.sequences * (self.length + 1), replacement=True)
        tokens = tokens.view(self.sequences, -1).to(self.device)
        x, y = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
        if rows:
            x, y = x.flatten(), y.flatten()
        groups = ClassGroups.by_frequency((1e6 * often).int().tolist())
        lens = None
        if self.measured:
            lens = Lens(model, groups, optimizer=optimizer, every=1, engine=CASES[self.case], announce=lambda _: None)

        def step() -> None:
            optimizer.zero_grad()
            logits = model(x)
            loss = F.cross_entropy(logits.flatten(0, -2), y.flatten())
            if self.case.endswith("let go"):
                del logits
            loss.backward() if lens is None else lens.backward(loss, y)
            optimizer.step()

        return step


def measure(sequences: int, length: int, device: str) -> dict[str, dict[str, float]]:
    """Returns for each case the peaks of both steps in MiB, and their ratio."""
    found = {}
    for case in CASES:
        peaks = [peak_bytes(VocabularyJob(case, measured, sequences, length, device)) for measured in (False, True)]
        plain, lens = (peak if isinstance(peak, str) else peak[1] / 2**20 for peak in peaks)
        if isinstance(plain, str) or isinstance(lens, str):
            raise SystemExit(f"{case}: {plain}; {lens}")
        found[case] = {"plain_mib": round(plain, 1), "measured_mib": round(lens, 1), "ratio": round(lens / plain, 3)}
        print(case, found[case], flush=True)
    return found


def table(found: dict[str, dict[str, float]], sequences: int, length: int) -> str:
    """Returns the page with the table."""
    copy = 4 * VOCABULARY * sequences * length / 2**20
    lines = [
        "# Memory of a measured step with a vocabulary of 50,257",
        "",
        f"{sequences} sequences of {length} tokens, width {WIDTH}, float32; one copy of the logits is {copy:.0f} MiB.",
        "Peak of a step, weights included. Made by `experiments/bench_vocabulary.py`, which says what the cases are.",
        "",
        "| case | engine | step, MiB | measured step, MiB | ratio |",
        "|---|---|---|---|---|",
    ]
    for case, row in found.items():
        lines.append(
            f"| {case} | {CASES[case]} | {row['plain_mib']:.0f} | {row['measured_mib']:.0f} | {row['ratio']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures and writes JSON and Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--sequences", type=int, default=4)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "bench_vocabulary.json")
    given = parser.parse_args()
    found = measure(given.sequences, given.length, given.device)
    record = {
        "arguments": public_arguments(sys.argv[1:]),
        "hardware": hardware(given.device),
        "versions": versions(),
        "vocabulary": VOCABULARY,
        "cases": found,
    }
    given.results.write_text(json.dumps(record, indent=1) + "\n")
    given.results.with_suffix(".md").write_text(table(found, given.sequences, given.length))


if __name__ == "__main__":
    main()
