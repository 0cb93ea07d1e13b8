"""LWS: in its second stage nothing but the scales of the classes changes."""

import torch

from gradlens.longtail.methods import CE, find_method
from gradlens.longtail.training.fit import fit


def test_only_the_scales_are_learned(task):
    """Weights and bias are those of cross-entropy alone; BatchNorm's statistics move unless they are told not to."""
    before = dict(fit(CE.on(task, {"epochs": 2}), task).learner.model.state_dict())
    for moving in (True, False):
        options = {"epochs": 2, "epochs_2": 1, "moving_statistics": moving}
        after = dict(fit(find_method("lws").on(task, options), task).learner.model.state_dict())
        scales = after.pop("classifier.scales")
        after = {name.replace("classifier.inner", "classifier"): value for name, value in after.items()}
        assert after.keys() == before.keys()
        moved = {name for name in before if not torch.equal(after[name], before[name])}
        assert moved == ({name for name in before if "running" in name or "tracked" in name} if moving else set())
        assert scales.shape == (10,)
        assert (scales != 1).all()


def test_it_lifts_the_rare_classes(task):
    few = {name: fit(find_method(name).on(task, {"epochs": 10}), task).final["test"]["few"] for name in ("ce", "lws")}
    assert few["lws"] > few["ce"] + 2
