import pytest

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import METHODS
from gradlens.longtail.table.records import record, records


def test_every_method_names_its_paper_and_every_number_its_protocol():
    found = {record.name: record for record in records()}
    assert found.keys() >= METHODS.keys()
    assert [name for name in METHODS if not found[name].paper] == []
    for one in found.values():
        for number in one.published:
            assert number.by
            assert number.epochs
            assert number.epoch in ("last", "best on test", "best on validation", "not stated")
            assert number.seen_in
            assert all(0 < value < 100 for value in [*number.cifar.values(), *number.other.values()])
            assert set(number.cifar) <= {"50", "100", "200"}


def test_numbers_and_protocols_as_the_papers_print_them():
    dual = record("dual-phase").published[0]
    assert dual.cifar == {"50": 49.32, "100": 44.79, "200": 40.53}
    assert dual.protocol == "200 + 200 epochs, not stated which epoch"
    assert record("pcgrad").published[0].length == ""  # without a number there is no protocol of it
    adjusted = record("logit-adjustment").published[0]
    assert adjusted.protocol == "1419 epochs, last; another ResNet-32; its cross-entropy has 39.87"
    assert record("cb-focal").approximate
    # 13,000 steps are 685 epochs at imbalance 200 only
    lengths = [(list(number.cifar), number.epochs) for number in record("balanced-softmax").published]
    assert lengths == [(["50", "100"], "200"), (["200"], "685"), (["100"], "not stated")]
    assert [(number.epochs, list(number.other)) for number in record("oltr").published] == [
        ("30 + 60", ["ImageNet-LT, ResNet-10"]),
        ("30 + 30", ["Places-LT, ResNet-152"]),
    ]
    assert record("fsa").published[0].epochs == "not stated"  # 300 are those of the unofficial repository


def test_what_the_lab_does_not_have_is_said():
    assert not record("iem").there
    with pytest.raises(LongTailError, match="no method 'dual-phas'; did you mean 'dual-phase'"):
        record("dual-phas")
