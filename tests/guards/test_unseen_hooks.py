"""A model that is copied, saved, traced, compiled or quantised on a measured step comes out as without gradlens."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.ao.quantization import convert, fuse_modules, prepare, quantize_dynamic
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.fx import GraphModule

from gradlens import ClassGroups, Lens
from tests.tracking.in_process import trackers

GROUPS = ClassGroups({"a": [0, 1], "b": [2]}, 3)
X, Y = torch.randn(12, 4, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3
QCONFIG = torch.ao.quantization.get_default_qconfig("x86")
KINDS = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs", "_forward_pre_hooks_with_kwargs")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def pickled(model):
    return pickle.loads(pickle.dumps(model))


def saved(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def scripted_and_loaded(model):
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(model), file)
    file.seek(0)
    return torch.jit.load(file)


def quantised(model):
    wrapped = prepare(with_qconfig(copy.deepcopy(model)))
    wrapped(X)
    return convert(wrapped)


def quantised_in_place(model):
    """The training's own layers are replaced."""
    wrapped = prepare(with_qconfig(model), inplace=True)
    wrapped(X)
    return convert(wrapped, inplace=True)


def with_qconfig(model):
    model.eval().qconfig = QCONFIG
    return torch.ao.quantization.QuantWrapper(model)


def quantised_by_graph(model):
    prepared = prepare_fx(copy.deepcopy(model).eval(), torch.ao.quantization.QConfigMapping().set_global(QCONFIG), (X,))
    prepared(X)
    return convert_fx(prepared)


def fused_in_place(model):
    return fuse_modules(model.eval(), ["0", "1"], inplace=True)


WAYS = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "pickle": pickled,
    "torch.save": saved,
    "jit.script": torch.jit.script,
    "jit.script of a copy": lambda model: torch.jit.script(copy.deepcopy(model)),
    "jit.script, saved": scripted_and_loaded,
    "jit.trace": lambda model: torch.jit.trace(model, X),
    "jit.trace_module": lambda model: torch.jit.trace_module(model, {"forward": X}),
    "jit.freeze": lambda model: torch.jit.freeze(torch.jit.script(copy.deepcopy(model).eval())),
    "fx": torch.fx.symbolic_trace,
    "fx, copied": lambda model: copy.deepcopy(torch.fx.symbolic_trace(model)),
    "fx, saved": lambda model: saved(torch.fx.symbolic_trace(model)),
    "export": lambda model: torch.export.export(model, (X,)).module(),
    "export, strict": lambda model: torch.export.export(model, (X,), strict=True).module(),
    "dynamic quantisation": lambda model: quantize_dynamic(model, {nn.Linear}),
    "static quantisation": quantised,
    "quantisation by graph": quantised_by_graph,
    "quantisation in place": quantised_in_place,
    "fusion": lambda model: fuse_modules(copy.deepcopy(model).eval(), ["0", "1"]),
    "fusion in place": fused_in_place,
}
CHANGES = {"quantisation in place", "fusion in place"}
ENGINES = ("masked", "split", "func")
# Torch's own code says these once in a process.
SAID_ONCE = ("Triggered internally", "is deprecated, please use 'torch.backends.")
MOMENTS = ("before the forward pass", "before the backward pass", "after the backward pass")
CASES = [("split", moment) for moment in MOMENTS] + [("masked", MOMENTS[1]), ("func", MOMENTS[1])]


def hooks(model: nn.Module) -> list:
    """What kinds of hooks are on which module."""
    return [
        (name, kind, [type(hook) for hook in getattr(module, kind, {}).values()])
        for name, module in model.named_modules()
        for kind in KINDS
    ]


def take(way, model):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        taken = WAYS[way](model)
    texts = {str(each.message) for each in said}
    return taken, taken(X), {text for text in texts if not any(part in text for part in SAID_ONCE)}


def trained(way: str, moment: str, engine: str | None):
    """Trains, takes the model away in the third step, trains on; with a lens unless ``engine`` is None."""
    model, found = network(), None
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    lens = None if engine is None else Lens(model, GROUPS, optimizer=optimizer, every=1, engine=engine, strict=True)
    measured = []
    for step in range(4):
        if step == 2 and moment == MOMENTS[0]:
            found = take(way, model)
            if way in CHANGES:
                break
        loss = F.cross_entropy(model(X), Y)
        if step == 2 and moment == MOMENTS[1]:
            found = take(way, model)
            if way in CHANGES:
                break
        optimizer.zero_grad()
        loss.backward() if lens is None else lens.backward(loss, Y)
        if step == 2 and moment == MOMENTS[2]:
            found = take(way, model)
        optimizer.step()
        measured.append(None if lens is None else (lens.last.step, lens.engine_name))
    if lens is not None:
        lens.close()
    return model, found, measured


@pytest.fixture(scope="module")
def plain():
    known = {}

    def of(way, moment):
        if (way, moment) not in known:
            known[way, moment] = trained(way, moment, None)
        return known[way, moment]

    return of


@pytest.mark.filterwarnings("ignore::Warning:torch")
@pytest.mark.parametrize(("engine", "moment"), CASES)
@pytest.mark.parametrize("way", WAYS)
def test_what_is_taken_away_is_as_without_a_lens(way, moment, engine, plain):
    if way in CHANGES and moment == MOMENTS[2]:
        pytest.skip("the training would go on with other layers")
    model, (taken, output, said), measured = trained(way, moment, engine)
    expected, (plainly, its_output, plainly_said), _ = plain(way, moment)

    assert torch.equal(output, its_output)
    assert hooks(taken) == hooks(plainly)
    assert said == plainly_said
    if way not in CHANGES:
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), expected.parameters(), strict=True))
        assert measured == [(step, engine) for step in range(4)]
        assert hooks(model) == hooks(expected)


@pytest.mark.parametrize("way", ["pickle", "torch.save", "fx, saved"])
@pytest.mark.parametrize("engine", ["masked", *(pytest.param(e, marks=pytest.mark.slow) for e in ENGINES[1:])])
def test_a_file_is_loaded_where_gradlens_is_not_installed(way, engine, tmp_path):
    model = network()
    lens = Lens(model, GROUPS, every=1, engine=engine, strict=True)
    kept = torch.fx.symbolic_trace(model) if way == "fx, saved" else model
    if way == "pickle":
        (tmp_path / "model").write_bytes(pickle.dumps(kept))
    else:
        torch.save(kept, tmp_path / "model")
    lens.close()
    load = "pickle.load(open('model', 'rb'))" if way == "pickle" else "torch.load('model', weights_only=False)"
    program = (
        f"import sys, pickle; sys.modules['gradlens'] = None; import torch; m = {load}\n"
        "assert not any(x._forward_hooks or x._forward_pre_hooks for x in m.modules())\n"
        "torch.save(m(torch.load('x')), 'y')"
    )
    torch.save(X, tmp_path / "x")
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=120)

    assert torch.equal(torch.load(tmp_path / "y"), model(X))


def test_hooks_of_the_script_stay_and_are_copied(capsys):
    model = network()
    model[0].register_forward_hook(say_called)
    lens = Lens(model, GROUPS, every=1, engine="split", strict=True)
    model[0].register_forward_pre_hook(say_called)
    copied = copy.deepcopy(model)
    again = pickled(model)
    torch.fx.symbolic_trace(model)

    for each in (copied, again):
        assert [list(each[0]._forward_hooks.values()), list(each[0]._forward_pre_hooks.values())] == [[say_called]] * 2
    capsys.readouterr()
    lens.backward(F.cross_entropy(model(X), Y), Y)
    assert capsys.readouterr().out == "called\ncalled\n"
    assert lens.last.counts.tolist() == [8, 4]
    lens.close()
    assert [list(model[0]._forward_hooks.values()), list(model[0]._forward_pre_hooks.values())] == [[say_called]] * 2


def say_called(*_):
    print("called")


def test_outputs_are_saved_without_a_word(tmp_path):
    model = network()
    lens = Lens(model, GROUPS, every=1, engine="split", strict=True)
    output = model(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.save(output, tmp_path / "output")
    lens.close()

    assert torch.equal(torch.load(tmp_path / "output"), output)


def test_graph_modules_are_measured_and_copied():
    model = torch.fx.symbolic_trace(network())
    lens = Lens(model, GROUPS, every=1, engine="func", strict=True)
    for taken in (copy.deepcopy(model), pickled(model), copy.copy(model)):
        assert isinstance(taken, GraphModule)
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in taken.modules())
    lens.close()


@pytest.mark.parametrize("way", [way for way in WAYS if way not in CHANGES])
@pytest.mark.filterwarnings("ignore::Warning:torch")
def test_a_tracker_that_watches_the_models_outputs_is_overlooked(way, tmp_path):
    with trackers(tmp_path / "run") as start:
        tracker = start(every=1, groups="a=0-1,b=2")
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for step in range(5):
            loss = -model(X).log_softmax(1).gather(1, Y[:, None]).mean()
            if step == 3:
                taken, output, _ = take(way, model)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert tracker.faults.failure is None
        assert tracker.lens.last.step == 4
        tracker.stop()
        tracker.lens.close()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(model(X), Y).backward()
        optimizer.step()
    plainly, expected, _ = take(way, model)
    assert hooks(taken) == hooks(plainly)
    torch.testing.assert_close(output, expected)
