"""What an epoch reads: a second stream, several views, only full batches; the same after an interruption."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from gradlens.longtail.data.image_set import ImageSet
from gradlens.longtail.data.labelled_images import STANDARD, TensorImages
from gradlens.longtail.errors import LongTailError
from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.phases import Step, TrainingPhase
from gradlens.longtail.recipe.processes import Processes
from gradlens.longtail.recipe.visiting import PhaseProgress, class_balanced
from gradlens.longtail.training.streams import batches_of_epoch
from tests.longtail.cut_training import resumed_is_whole
from tests.longtail.tiny_training import tiny_recipe, tiny_task

COUNTS = (6, 3, 2)
LABELS = torch.repeat_interleave(torch.arange(3), torch.tensor(COUNTS))


def noise(images, generator):
    return images + torch.rand(images.shape, generator=generator) / 4


def louder(images, generator):
    return images + 0.5 + noise(torch.zeros_like(images), generator)


def named_images():
    """Image i has the pixels i, plus 0 to 0.25 if its augmentation is the standard one, 0.5 to 0.75 if it is the louder one."""
    images = torch.arange(11.0).reshape(11, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
    return TensorImages(ImageSet(images, LABELS, tuple("abc")), "cpu", augment=noise, further={"louder": louder})


def read(epoch=0, rank=0, size=1, selected=None, **changes):
    """Returns the batches of an epoch."""
    phase = TrainingPhase("only", 3, {}, batch=4, **changes)
    chosen = torch.arange(11) if selected is None else selected
    learner = Learner(None, named_images(), None, torch.device("cpu"), 7, chosen, processes=Processes(rank, size))
    return list(batches_of_epoch(0, phase, PhaseProgress(epoch, 3), learner))


def numbers(images):
    return images[:, 0, 0, 0].floor().long()


def test_an_ordinary_phase_reads_each_image_once():
    batches = read()
    assert [rows for _, rows in batches] == [4, 4, 3]
    assert sorted(torch.cat([numbers(batch.images) for batch, _ in batches]).tolist()) == list(range(11))
    for batch, _ in batches:
        assert (batch.views, batch.partner) == ((), None)
        assert torch.equal(batch.labels, LABELS[numbers(batch.images)])


def test_the_second_stream_has_an_order_and_an_augmentation_of_its_own():
    with_partner, alone = read(partner=class_balanced), read()
    partners = [batch.partner for batch, _ in with_partner]
    for (batch, rows), (single, same), partner in zip(with_partner, alone, partners, strict=True):
        assert torch.equal(batch.images, single.images)  # the first stream is as without a second one
        assert rows == same == len(partner.images)
        assert torch.equal(partner.labels, LABELS[numbers(partner.images)])
    first, second = (
        torch.cat([batch.images for batch in both]) for both in ([batch for batch, _ in with_partner], partners)
    )
    assert len(numbers(second).unique()) < 11  # drawn with replacement
    assert not torch.equal(first % 1, second % 1)


def test_the_second_stream_of_every_process_fits_the_first():
    whole = read(partner=class_balanced)
    for both in zip(*(read(rank=rank, size=2, partner=class_balanced) for rank in (0, 1)), whole, strict=True):
        (first, _), (second, _), (batch, rows) = both
        for part, full in (((first.labels, second.labels), batch.labels),
                           ((first.partner.labels, second.partner.labels), batch.partner.labels)):  # fmt: skip
            assert torch.equal(torch.cat(part), full)
        assert rows == len(batch.labels)


def test_views_are_further_augmentations_of_the_same_images():
    views, single = read(views=(STANDARD, "louder", STANDARD)), read()
    for (batch, _), (alone, _) in zip(views, single, strict=True):
        assert torch.equal(batch.images, alone.images)
        second, third = batch.views
        assert torch.equal(numbers(second), numbers(batch.images))
        assert torch.equal(numbers(third), numbers(batch.images))
        assert (second % 1 >= 0.5).all()
        assert (third % 1 < 0.5).all()
        assert not torch.equal(third, batch.images)


def test_the_second_stream_has_the_views_too():
    batch, _ = read(views=(STANDARD, "louder"), partner=class_balanced)[0]
    assert torch.equal(numbers(batch.partner.views[0]), numbers(batch.partner.images))


def test_only_full_batches_if_the_last_is_dropped():
    assert [rows for _, rows in read(drop_last=True, partner=class_balanced)] == [4, 4]
    with pytest.raises(LongTailError, match="its 3 images fill none of batch=4"):
        read(drop_last=True, selected=torch.arange(3))


def test_what_cannot_be_read_is_refused():
    with pytest.raises(LongTailError, match="augmentation='quiet'; these images have standard, louder"):
        read(views=("quiet",))
    with pytest.raises(LongTailError, match="second stream of phase 'only' has 2 images and the first 11"):
        read(partner=lambda labels, progress, generator: torch.arange(2))


def test_epochs_differ_and_do_not_depend_on_each_other():
    first, second = (read(epoch, partner=class_balanced) for epoch in (0, 1))
    assert not torch.equal(first[0][0].images, second[0][0].images)
    assert torch.equal(second[0][0].partner.images, read(1, partner=class_balanced)[0][0].partner.images)


def mixed(learner, progress, batch, generator):
    """Uses all that a batch has."""
    images = batch.images + 0.5 * batch.partner.images + sum(0.25 * view for view in batch.views)
    features = learner.model.embed(images)
    labels = 0.6 * F.one_hot(batch.labels, 3) + 0.4 * F.one_hot(batch.partner.labels, 3)
    return Step(learner, progress, images, labels, features, learner.model.classifier(features))


def test_a_cut_training_with_both_resumes_bit_identical(tmp_path):
    task = dataclasses.replace(tiny_task(COUNTS), train=named_images())
    changes = {"partner": class_balanced, "views": (STANDARD, "louder"), "drop_last": True, "forward": mixed}
    recipe = tiny_recipe(task, epochs=3, **changes)
    assert resumed_is_whole(recipe, task, tmp_path, 2)["step"] == 6
