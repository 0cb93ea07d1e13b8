"""The styles of training that `gradlens track` is held to: the table behind the tests and the support matrix.

To add a case, add a ``Style``: a script that does not know gradlens and saves its weights to ``model.pt``, and the formula of
its loss; or, for programs that need a launcher or a framework, a test of one's own that calls ``results.note``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e import formulas as f
from tests.e2e.library_styles import LIBRARY_STYLES
from tests.e2e.style import GROUPS, Style

SCRIPTS = Path(__file__).parent / "scripts"
__all__ = ["GROUPS", "SCRIPTS", "STYLES", "Style"]


def _loop(name: str, title: str, **facts: Any) -> Style:
    return Style(f"loop-{name}", "loop", title, "loops.py", (name,), **facts)


def _step(name: str, title: str, **facts: Any) -> Style:
    return Style(f"loop-{name}", "loop", title, "other_steps.py", (name,), **facts)


def _loss(name: str, title: str, formula: f.Formula | None, **facts: Any) -> Style:
    return Style(f"loss-{name.replace('_', '-')}", "loss", title, "losses.py", (name,), formula, **facts)


def _data(name: str, title: str, source: str, formula: f.Formula = f.mean_ce, **facts: Any) -> Style:
    return Style(f"data-{name}", "data", title, "data.py", (name,), formula, options=(), source=source, **facts)


def _other_device(labels: str, title: str) -> Style:
    source = "TensorDataset.tensors[1]"
    script, name = "other_device.py", f"data-labels-{labels}"
    return Style(name, "data", title, script, (labels,), options=(), source=source, compiles=True)


COUNTED = "counts from the labels of the first"
OBSERVE = "add gradlens.observe(outputs, labels) before loss.backward()"

_ALL = (
    _loop("accumulate", "gradient accumulation over two batches", formula=f.scaled(0.5), quick=True),
    _loop("autocast", "bfloat16 autocast", tolerance=0.01),
    _loop("half", "float16 autocast and gradient scaler, on a GPU where there is one", tolerance=2e-3),
    _loop("scaler", "gradient scaler, unscaled, clipped"),
    _loop("scaler-accumulate", "scaled loss divided for accumulation", formula=f.scaled(0.5)),
    _loop(
        "scaler-skips", "gradient scaler that skips steps", formula=f.scaled(64.0), step="last backward", tolerance=5e-4
    ),
    _loop("clip-norm", "clipping of the norm"),
    _loop("clip-value", "clipping of values"),
    _loop("keep-grads", "zero_grad(set_to_none=False)"),
    _loop("two-optimizers", "two optimizers for one model"),
    _loop("parameter-groups", "parameter groups"),
    _loop("frozen", "frozen stem"),
    _loop("unfreeze", "stem that thaws after an epoch"),
    _step("lbfgs", "L-BFGS with a closure", step="last backward"),
    _step("closure", "SGD with a closure", step="last backward"),
    _loop("ema", "moving averages and a copied teacher"),
    _loop("validation", "validation in no_grad, inference_mode and neither"),
    _loop("schedule", "scheduler for each step"),
    _step("several-backwards", "two backward passes for a step", formula=f.several_backwards),
    _loop("checkpoint", "activation checkpointing"),
    _loop(
        "checkpoint-reentrant", "reentrant activation checkpointing", formula=None, instead="pass use_reentrant=False"
    ),
    _loop("compile-aot", "torch.compile, aot_eager", alone=True, reference=("eager",)),
    _loop("compile-inductor", "torch.compile, inductor", alone=True, compiles=True, reference=("eager",)),
    _step("autograd-grad", "torch.autograd.grad, then an optimizer", first=1),
    _step("autograd-grad-by-hand", "torch.autograd.grad, updates by hand", step="backward", first=1),
    _step("step-in-backward", "optimizers that step inside the backward pass", step="backward"),
    _step(
        "step-in-backward-split",
        "optimizers that step inside the backward pass, without batch normalisation",
        step="backward",
    ),
    _step("sam", "sharpness-aware minimisation by hand", step="last backward"),
    _step("inputs", "backward(inputs=...) for all parameters"),
    _step(
        "gradient",
        "losses of samples, backward(gradient)",
        formula=None,
        instead="write (losses * gradient).sum().backward()",
    ),
    _loop("checkpoint-selective", "selective activation checkpointing"),
    _step("module-hooks", "module hooks with a state, which the learning rate depends on"),
    _step(
        "surgery",
        "gradient surgery (PCGrad by hand), a backward pass for each loss",
        says="what the optimizer steps on is not what was measured",
    ),
    _step(
        "surgery-shared",
        "gradient surgery on the parameters that two heads share, zeroed in place",
        formula=f.two_heads,
        says="what the optimizer steps on is not what was measured",
    ),
    _step("surgery-grad", "gradient surgery, torch.autograd.grad for each loss", first=1),
    _step("looks", "the gradient of each loss looked at, then a step on their sum"),
    _step("not-finite", "batches with NaN gradients, which the script replaces", formula=f.not_finite, finite=0.5),
    _step("growing-head", "a head that grows from two classes to four", changes=(3,)),
    _step("jit-script", "a part of the model goes through torch.jit.script in each step"),
    _step(
        "opacus",
        "differential privacy (Opacus)",
        formula=None,
        instead="Opacus clips the gradient of each sample and adds noise",
    ),
    _step(
        "stateful-function",
        "a backward function that draws from a generator of its own",
        formula=None,
        instead="Rounded gives another gradient each time",
    ),
    Style(
        "loop-several-models",
        "loop",
        "several models in turns (federated averaging): the first one",
        "several_models.py",
        (),
        step="last backward",
        first=1,
        says="not measured: 12 optimizer steps by 2 optimizers of other models",
    ),
    _step("func", "torch.func.grad", formula=None, instead="no backward pass ran in this process"),
    _loss("class_weights", "class weights", f.class_weights),
    _loss("label_smoothing", "label smoothing", f.smoothed(0.1)),
    _loss("ignore_index", "ignore_index", f.ignore_index),
    _loss("reduction_none", "reduction='none' and weights of one's own", f.reduction_none),
    _loss("reduction_sum", "reduction='sum'", f.reduction_sum),
    _loss("soft_targets", "soft targets", f.soft_targets),
    _loss("mixup_two_calls", "mixup, two loss calls", f.mixed_calls),
    _loss("mixup_soft", "mixup, soft targets", f.mixed),
    _loss("cutmix_two_calls", "cutmix, two loss calls", f.cut_calls),
    _loss("cutmix_soft", "cutmix, soft cross-entropy by hand", f.cut, first=1),
    _loss("nll", "log_softmax and nll_loss", f.mean_ce),
    _loss("focal_from_cross_entropy", "focal loss from cross_entropy", f.focal),
    _loss("focal_by_hand", "focal loss by hand", f.focal, first=1),
    _loss("focal_by_probabilities", "focal loss by hand from probabilities", f.focal, first=1),
    _loss("ldam", "LDAM through cross_entropy", f.ldam),
    _loss("ldam_by_hand", "LDAM by hand", f.ldam, first=1),
    _loss("multi_margin", "multi-class margin loss", f.hinge(4), first=1),
    _loss("hinge_by_hand", "hinge loss by hand", f.hinge(1), first=1),
    _loss("one_vs_all", "binary cross-entropy, one against all", f.one_vs_all, first=1),
    _loss("brier", "squared error of probabilities", f.brier, first=1),
    _loss("two_heads", "auxiliary head", f.two_heads),
    _loss("regularised", "penalty on the weights", f.mean_ce, rest=f.penalty, quick=True),
    _loss("dict_output", "model returns a dict", f.mean_ce),
    _loss("tuple_output", "model returns a tuple", f.mean_ce),
    _loss("dataclass_output", "model returns a dataclass; penalty on features", f.dataclass_output, first=1),
    _loss("inside_the_model", "loss inside the model", f.inside),
    _loss("logit_adjusted", "logit adjustment", f.logit_adjusted),
    _loss("square_rows", "labels of places, as many places as classes", f.square_rows, quick=True),
    _loss("smoothing_by_hand", "label smoothing by hand", f.smoothed(0.1), first=1),
    _loss("chunks", "cross_entropy in chunks of the batch", f.mean_ce, quick=True),
    _loss("chunks_observed", "cross_entropy in chunks, gradlens.observe on each", f.mean_ce),
    _loss("time_steps", "cross_entropy of each time step", f.square_rows),
    _loss(
        "linear_cross_entropy",
        "linear_cross_entropy in chunks, its inputs named with gradlens.observe",
        f.linear_cross_entropy,
        rest=f.own_gradient_of_the_head,
        says="the weights inside a linear_cross_entropy with chunks",
    ),
    Style(
        "loss-compiled",
        "loss",
        "the loss inside of torch.compile",
        "compiled_loss.py",
        ("loss",),
        None,
        instead="the loss is computed inside a function that torch.compile has compiled",
        alone=True,
    ),
    Style(
        "loss-autoencoder",
        "loss",
        "an autoencoder: its targets are its inputs",
        "no_classes.py",
        ("autoencoder",),
        None,
        instead="the targets of the loss are what the model was given: they are no labels",
    ),
    Style(
        "loss-infonce",
        "loss",
        "InfoNCE by cross_entropy with label 0 for each row",
        "no_classes.py",
        ("infonce",),
        None,
        instead=OBSERVE,
    ),
    _loss("contrastive", "contrastive loss", None, instead=OBSERVE),
    _loss("observed", "contrastive loss with gradlens.observe", f.contrastive),
    _data("fork", "forked loader workers", COUNTED),
    _data("spawn", "spawned loader workers", COUNTED, alone=True, reference=("fork",)),
    _data("forkserver", "loader workers of a fork server", COUNTED, alone=True, reference=("fork",)),
    _data("iterable", "IterableDataset", COUNTED),
    _data("tensors", "TensorDataset", "TensorDataset.tensors[1]"),
    _data("targets", "dataset with targets", "Labelled.targets"),
    _data("no-targets", "dataset without targets", COUNTED),
    _data("dicts", "batches that are dicts", "Named.targets"),
    _data("bytes", "labels of another type, converted by the script", "Bytes.targets"),
    _data("image-folder", "ImageFolder", "ImageFolder.targets"),
    _data("subset", "Subset", "Subset of Labelled.targets"),
    _data("concat", "ConcatDataset", "TensorDataset.tensors[1] + Tensors.labels"),
    _data("random-split", "random_split", "Subset of TensorDataset.tensors[1]"),
    _data("weighted-sampler", "WeightedRandomSampler", "Labelled.targets"),
    _data("inline", "DataLoader made in the for statement", "TensorDataset.tensors[1]", quick=True),
    _other_device("host", "labels on the host, the model on another device"),
    _other_device("device", "model and data set on another device"),
    _data(
        "full-batch",
        "one batch holds all data, its labels indexed anew",
        "counts from the labels of the first step",
        f.full_batch,
        first=1,
        quick=True,
    ),
    _data("unused-outputs", "a head with 1000 outputs for 4 classes of data", "TensorDataset.tensors[1]"),
    _data(
        "endless",
        "a sampler that draws without end",
        "labels of the first 100 backward passes",
        first=100,
        classes=((0, 1, 2), (3,)),
    ),
    _data("slices", "no DataLoader: slices of tensors", "the tensor that the labels are slices of"),
)
STYLES = {style.name: style for style in (*_ALL, *LIBRARY_STYLES)}
