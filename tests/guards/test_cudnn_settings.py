import torch
from torch.backends import cudnn

from gradlens.guards.cudnn_settings import cudnn_settings
from gradlens.longtail.methods import find_method
from gradlens.longtail.tasks.digits import digits_task
from gradlens.longtail.training.training_run import run_training


def test_only_what_is_named_is_set_and_put_back() -> None:
    before = (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32)

    with cudnn_settings(deterministic=True):
        inside = (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32)

    assert inside == (before[0], before[1], True, before[3])
    assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == before


def test_the_lab_trains_with_cudnn_and_its_deterministic_kernels(tmp_path) -> None:
    seen = []
    task = digits_task(imbalance=10)
    recipe = find_method("ce").on(task, {"epochs": 1}, "test")

    def note(_: object) -> None:
        seen.append((cudnn.enabled, cudnn.deterministic))

    run_training(recipe, task, tmp_path / "run", seed=0, watching=None, max_steps=2, on_epoch=note)

    assert torch.backends.cudnn.enabled
    assert seen
    assert set(seen) == {(True, True)}
