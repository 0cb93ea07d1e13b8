"""Checkpoints on disk: an old one outlives whatever happens while the new one is written."""

import dataclasses
import os

import pytest
import torch

from gradlens.longtail.training.checkpoint import FILE, Checkpoint, CheckpointError, load_checkpoint, save_checkpoint

IDENTITY = {"seed": 0}
OLD = Checkpoint(IDENTITY, 0, 1, 5, {"w": torch.ones(100_000)}, {}, torch.arange(3), {}, [{"epoch": 1}])
NEW = dataclasses.replace(OLD, epoch=2, model={"w": torch.zeros(100_000)})


class Killed(BaseException):
    """Stands for a process that ends there."""


def half_written(monkeypatch):
    def save(stored, file):
        file.write(b"half of it")
        raise Killed

    monkeypatch.setattr(torch, "save", save)


def before_it_takes_its_place(monkeypatch):
    def replace(source, target):
        raise Killed

    monkeypatch.setattr(os, "replace", replace)


@pytest.mark.parametrize("end", [half_written, before_it_takes_its_place])
def test_the_old_checkpoint_is_intact_wherever_writing_ends(tmp_path, monkeypatch, end):
    save_checkpoint(tmp_path, OLD)
    before = (tmp_path / FILE).read_bytes()
    with monkeypatch.context() as patch:
        end(patch)
        with pytest.raises(Killed):
            save_checkpoint(tmp_path, NEW)
    assert (tmp_path / FILE).read_bytes() == before
    assert os.listdir(tmp_path) == [FILE]
    assert load_checkpoint(tmp_path, IDENTITY).epoch == 1


def test_whoever_has_the_old_one_open_reads_it_to_its_end(tmp_path):
    # A file that is written over, rather than replaced, changes under a reader and is torn by a kill.
    save_checkpoint(tmp_path, OLD)
    before = (tmp_path / FILE).read_bytes()
    with open(tmp_path / FILE, "rb") as reader:
        start = reader.read(1000)
        save_checkpoint(tmp_path, NEW)
        assert start + reader.read() == before
    assert load_checkpoint(tmp_path, IDENTITY).epoch == 2


@pytest.mark.parametrize(
    ("name", "value"), [("stage_2_from", "last"), ("bias_decay", None), ("augmentation", "standard")]
)
def test_a_setting_that_came_later_may_stand_in_a_checkpoint_or_not(tmp_path, name, value):
    """Both have been written: by trainings before there was the setting, and by those after."""
    for there in (IDENTITY, IDENTITY | {name: value}):
        save_checkpoint(tmp_path, dataclasses.replace(OLD, identity=there))
        assert load_checkpoint(tmp_path, IDENTITY).epoch == 1
        with pytest.raises(CheckpointError, match=f"{name}: absent there, other here"):
            load_checkpoint(tmp_path, IDENTITY | {name: "other"})


@pytest.mark.parametrize(
    ("data", "layout", "other"),
    [("cifar100-lt", "channels_last", "contiguous_format"), ("digits", "contiguous_format", "channels_last")],
)
def test_a_training_from_before_a_setting_goes_on_with_what_it_did_then(tmp_path, data, layout, other):
    then = IDENTITY | {"data set": data}  # names none of the settings
    now = then | {"precision": "float32", "memory_format": layout, "compile": False}
    save_checkpoint(tmp_path, dataclasses.replace(OLD, identity=then))
    assert load_checkpoint(tmp_path, now).epoch == 1
    for name, value in {"precision": "bfloat16", "memory_format": other, "compile": True}.items():
        with pytest.raises(CheckpointError, match=f"{name}: {now[name]} there, {value} here"):
            load_checkpoint(tmp_path, now | {name: value})
