"""Once a script has begun, nothing that gradlens finds out ends it, and its errors look as under ``python``."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradlens.runlog import Run
from gradlens.tracking.watch.tracebacks import without_own
from tests.tracking.in_process import said
from tests.tracking.processes import plain, tracked

EVERY = ("--every", "1", "--out", "run")
NAMED = (*EVERY, "--groups", "head=0-1,tail=2-3")

# A head of 2 classes, later of 4; writes what each class contributes to the gradient of the parameters that all steps have.
GROWING = """
import sys, torch, torch.nn as nn, torch.nn.functional as F
torch.manual_seed(0)
Y = torch.tensor([0] * 40 + [1] * 16 + [2] * 5 + [3] * 3)
X = torch.randn(64, 8)
m = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
o = torch.optim.SGD(m.parameters(), lr=0.1)
truth = []
for task in range(2):
    if task:
        old = m[2]
        m[2] = nn.Linear(16, 4)
        with torch.no_grad():
            m[2].weight[:2] = old.weight
            m[2].bias[:2] = old.bias
        o = torch.optim.SGD(m.parameters(), lr=0.1)
    for s in range(int(sys.argv[1])):
        ok = (Y < 2).nonzero()[:, 0] if task == 0 else torch.arange(64)
        i = ok[torch.randperm(len(ok))[:32]]
        logits = m(X[i])
        if len(sys.argv) > 2:
            each = F.cross_entropy(logits, Y[i], reduction="none") / 32
            rows = []
            for mask in (Y[i] < 2, Y[i] >= 2):
                g = torch.autograd.grad((each * mask).sum(), list(m.parameters()), retain_graph=True)
                rows.append([float(sum((t.double() ** 2).sum() for t in g) ** 0.5), int(mask.sum())])
            truth.append(rows)
        o.zero_grad()
        F.cross_entropy(logits, Y[i]).backward()
        o.step()
print("trained", {k: v.sum().item() for k, v in m.state_dict().items()})
torch.save(m.state_dict(), "model.pt")
if len(sys.argv) > 2:
    torch.save(torch.tensor(truth, dtype=torch.float64), "truth.pt")
"""


def both(tmp_path, source: str, *arguments: str, options: tuple[str, ...] = NAMED):
    """Runs a program tracked and plainly, in folders of their own."""
    found = []
    for name in ("tracked", "plain"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "program.py").write_text(source)
        runner = (lambda *a: tracked(*a, options=options)) if name == "tracked" else plain
        found.append(runner(folder, "program.py", *arguments))
    a, b = found
    assert (a.code, a.out) == (b.code, b.out), a.err
    assert (
        a.err.replace(str(tmp_path / "tracked"), "") == b.err.replace(str(tmp_path / "plain"), "") or "Whose" in a.err
    )
    return a


def truth_of(tmp_path, *arguments: str) -> np.ndarray:
    """[T, 2, 2]: of the classes 0, 1 and of 2, 3 the norm of the gradient and the number of samples."""
    folder = tmp_path / "truth"
    folder.mkdir()
    (folder / "program.py").write_text(GROWING)
    assert plain(folder, "program.py", *arguments, "truth").code == 0
    return torch.load(folder / "truth.pt").numpy()


def test_groups_that_name_classes_to_come_are_absent_until_they_come(tmp_path):
    both(tmp_path, GROWING, "6")
    truth = truth_of(tmp_path, "6")
    run = Run(tmp_path / "tracked" / "run")

    assert {0, 11} - set(run.steps.tolist()) <= {0}
    assert len(run) >= 10
    assert run.groups.num_classes == 4
    np.testing.assert_allclose(run.counts, truth[run.steps, :, 1])
    np.testing.assert_allclose(run.norm("head"), truth[run.steps, 0, 0], rtol=1e-5)
    late = run.steps >= 6
    assert np.isnan(run.norm("tail")[~late]).all()
    np.testing.assert_allclose(run.norm("tail")[late], truth[run.steps[late], 1, 0], rtol=1e-4)
    assert np.isfinite(run.loss).any()


def test_classes_that_come_after_the_groups_count_as_rest_and_that_is_said(tmp_path):
    found = both(tmp_path, GROWING, "6", options=(*EVERY, "--groups", "per-class"))
    truth = truth_of(tmp_path, "6")
    run = Run(tmp_path / "tracked" / "run")

    late = run.steps >= 6
    assert late.sum() >= 4
    np.testing.assert_allclose(run.norm("rest")[late], truth[run.steps[late], 1, 0], rtol=1e-4)
    np.testing.assert_allclose(np.nansum(run.counts, 1), truth[run.steps, 0, 1])
    assert sum("grown to 4 classes; those in no group count as 'rest'" in line for line in found.said) == 1


def test_labels_are_counted_over_a_head_that_grows(tmp_path):
    found = both(tmp_path, GROWING, "4", options=EVERY)
    assert found.said[-1].endswith("from its counts: --groups head=0-1,tail=2-3")


def test_a_head_for_another_task_is_no_growth(start):
    tracker = start(every=1, groups="a=0-1,b=2")
    torch.manual_seed(0)
    body, heads = nn.Linear(5, 8), nn.ModuleList([nn.Linear(8, 3), nn.Linear(8, 6)])
    optimizer = torch.optim.SGD([*body.parameters(), *heads.parameters()], lr=0.1)
    for step in range(8):
        x, task = torch.randn(12, 5), step // 2 % 2
        optimizer.zero_grad()
        F.cross_entropy(heads[task](body(x).relu()), torch.arange(12) % (3, 6)[task]).backward()
        optimizer.step()
    assert tracker.faults.failure is None
    assert tracker.lens.last.step == 7
    assert tracker.attaching.attachment.search.num_classes == 3
    assert any("a loss over 6 classes counts as 'rest'" in line for line in said())


TRAINING = """
import sys, torch, torch.nn.functional as F, gradlens
torch.manual_seed(0)
m = torch.nn.Linear(8, 4)
o = torch.optim.SGD(m.parameters(), lr=0.1)
for i in range(6):
    x, y = torch.randn(16, 8), torch.randint(0, 4, (16,))
    %s
    F.cross_entropy(m(x), y).backward()
    o.step()
    o.zero_grad()
print([p.sum().item() for p in m.parameters()])
"""

ODD = {
    "observe no tensors": "gradlens.observe([1], 'a')",
    "observe an unknown label": "gradlens.observe(m(x), y + 2)",
    "observe other rows": "gradlens.observe(m(x), y[:3])",
    "observe nothing": "gradlens.observe(m(x)[:0], y[:0])",
    "observe a scalar": "gradlens.observe(m(x).sum(), y)",
    "observe half of a label": "gradlens.observe(m(x), y + 0.5)",
    "a mark that is no text": "gradlens.mark(object()); gradlens.phase(None)",
    "jit.script": "import io; torch.jit.save(torch.jit.script(m), io.BytesIO()); print('saved')",
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_does_not_end_the_script(name, tmp_path):
    (tmp_path / "program.py").write_text(TRAINING % ODD[name])
    a, b = tracked(tmp_path, "program.py", options=NAMED), plain(tmp_path, "program.py")
    assert (a.code, a.out) == (b.code, b.out) == (0, b.out), a.err
    assert "Traceback" not in a.err


@pytest.mark.parametrize("options", [(), ("--groups", "shots"), ("--groups", "per-class"), ("--groups", "a=0,b=70-99")])
def test_one_output_or_a_typing_error_does_not_end_the_script(options, tmp_path):
    program = TRAINING.replace("Linear(8, 4)", "Linear(8, 1)").replace("randint(0, 4,", "randint(0, 1,") % "pass"
    (tmp_path / "program.py").write_text(program)
    a = tracked(tmp_path, "program.py", options=options)
    assert (a.code, a.out) == (0, plain(tmp_path, "program.py").out), a.err


HOOKED = """
import logging, sys, threading, traceback, torch, torch.nn.functional as F
torch.manual_seed(0)
calls = []
class Cause(Exception): pass
def hook(g):
    calls.append(1)
    if len(calls) >= 4:
        %s
def inner():
    raise Cause("deeper")
m = torch.nn.Linear(8, 4)
o = torch.optim.SGD(m.parameters(), lr=0.1)
m.weight.register_hook(hook)
def train():
    for i in range(10):
        F.cross_entropy(m(torch.randn(16, 8)), torch.randint(0, 4, (16,))).backward()
        o.step()
        o.zero_grad()
def shallow():
    train()
%s
print(len(calls))
"""
RAISES = "raise RuntimeError('my own bug in a hook')"
ERRORS = {
    "uncaught": (RAISES, "train()"),
    "interrupt": ("raise KeyboardInterrupt", "train()"),
    "exit": ("sys.exit(3)", "train()"),
    "cause": (
        "\n        try:\n            inner()\n        except Cause as e:\n            raise ValueError(1) from e",
        "train()",
    ),
    "context": ("\n        try:\n            inner()\n        except Cause:\n            raise ValueError(2)", "train()"),
    "group": ("raise ExceptionGroup('g', [ValueError(1), Cause(2)])", "train()"),
    "group around": (RAISES, "try:\n    train()\nexcept RuntimeError as e:\n    raise ExceptionGroup('g', [e])"),
    "print_exc": (RAISES, "try:\n    train()\nexcept RuntimeError:\n    traceback.print_exc(file=sys.stdout)"),
    "format_exc": (RAISES, "try:\n    shallow()\nexcept RuntimeError:\n    print(traceback.format_exc())"),
    "extract": (RAISES, "try:\n    train()\nexcept RuntimeError as e:\n    print(traceback.extract_tb(e.__traceback__))"),
    "logging": (RAISES, "try:\n    train()\nexcept RuntimeError:\n    logging.exception('caught')"),
    "raised again": (RAISES, "try:\n    train()\nexcept RuntimeError as e:\n    raise ValueError('other') from e"),
    "thread": (RAISES, "t = threading.Thread(target=train, name='t'); t.start(); t.join()"),
    "threads of a pool": (
        RAISES, "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(1) as pool:\n    "
        "pool.submit(train).result()",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_of_the_script_in_a_measured_step_look_as_under_python(name, tmp_path):
    (tmp_path / "program.py").write_text(HOOKED % ERRORS[name])
    a, b = tracked(tmp_path, "program.py", options=NAMED), plain(tmp_path, "program.py")

    assert (a.code, a.out) == (b.code, b.out)
    assert a.err.partition("Whose gradient")[0].rstrip() == b.err.rstrip()
    assert len(Run(tmp_path / "run")) >= 2


def test_a_fault_in_cleaning_leaves_the_error_of_the_script(monkeypatch):
    monkeypatch.setattr("gradlens.tracking.watch.tracebacks._stands_in", lambda _: 1 / 0)
    monkeypatch.setattr("gradlens.tracking.watch.tracebacks._PACKAGE", "")  # each frame is asked about
    with pytest.raises(RuntimeError, match="mine") as caught:
        raise RuntimeError("mine")
    assert without_own(caught.value.__traceback__) is caught.value.__traceback__


@pytest.mark.parametrize("name", ["cause", "context"])
def test_an_error_of_the_script_keeps_its_causes_with_a_lens_of_its_own(name, tmp_path):
    source = (HOOKED % ERRORS[name]).replace(
        "def train():",
        "import gradlens\nlens = gradlens.Lens(m, gradlens.ClassGroups.per_class(4), optimizer=o, every=1)\ndef train():",
    ).replace("F.cross_entropy(m(torch.randn(16, 8)), torch.randint(0, 4, (16,))).backward()",
              "y = torch.randint(0, 4, (16,)); lens.backward(F.cross_entropy(m(torch.randn(16, 8)), y), y)")  # fmt: skip
    (tmp_path / "program.py").write_text(source)
    found = plain(tmp_path, "program.py")

    assert "Cause: deeper" in found.err
    word = "direct cause of" if name == "cause" else "During handling of"
    assert word in found.err


TOO_FEW = """
import torch, torch.nn.functional as F
torch.manual_seed(0)
y = torch.tensor([0] * 60 + [1] * 8)
x = torch.randn(68, 5) + y[:, None]
model = torch.nn.Linear(5, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for at in range(0, 68, 8):
    loss = F.cross_entropy(model(x[at:at + 8]), y[at:at + 8])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


@pytest.mark.parametrize("options", [("--every", "1"), ("--every", "2"), ()])
def test_no_advice_that_cannot_be_followed(options, tmp_path):
    (tmp_path / "program.py").write_text(TOO_FEW)
    found = tracked(tmp_path, "program.py", options=options)

    assert "too few for means" in " ".join(found.err.split()) or "no step was measured" in " ".join(found.said)
    assert "measures more" not in " ".join(found.err.split())
