"""The last lines of ``gradlens train``: which epoch, which split, and on which the epoch was chosen."""

from gradlens.commands.train_result import result_lines

NUMBERS = {
    "many": 90.0, "few": 50.0, "overall": 70.0, "balanced": 69.5, "ece": 12.25, "head_as_tail": 1.0, "tail_as_head": 40.0,
}  # fmt: skip
SHOWN = (
    "many 90.00  few 50.00  overall 70.00  balanced 69.50  calibration error 12.25  "
    "tail taken for head 40.00  head taken for tail 1.00"
)


def test_without_a_validation_split_the_best_epoch_is_chosen_on_the_test_set_itself():
    result = {"last": {"test": NUMBERS}, "best": {"split": "test", "epoch": 7, "overall": 71.0}}
    assert result_lines(result) == [
        f"test, last epoch: {SHOWN}",
        "test, best epoch (7, chosen on test itself): overall 71.00",
    ]


def test_with_one_the_test_set_is_read_in_that_epoch():
    best = {"split": "validation", "epoch": 7, "overall": 80.0, "other_splits": {"test": NUMBERS}}
    assert result_lines({"last": {}, "best": best}) == [
        "validation, best epoch (7, chosen on validation): overall 80.00",
        f"test, that epoch: {SHOWN}",
    ]


def test_a_result_of_an_earlier_version_is_shown_too():
    old = {"many": 90.0, "medium": 60.0, "few": 50.0, "overall": 70.0}
    result = {"last": {"val": old, "test": old}, "best": {"split": "val", "epoch": 2, **old}}
    assert result_lines(result) == [
        "val, last epoch: many 90.00  medium 60.00  few 50.00  overall 70.00",
        "test, last epoch: many 90.00  medium 60.00  few 50.00  overall 70.00",
        "val, best epoch (2, chosen on val itself): overall 70.00",
    ]


def test_a_chosen_setting_comes_first_with_the_split_that_chose_it():
    best = {"split": "test", "epoch": 2, "overall": 40.0}
    chosen = [{"setting": "tau", "value": 0.7, "split": "test", "only_split": True}]
    assert result_lines({"last": {}, "best": best, "chosen": chosen})[0] == "tau 0.7, chosen on test itself"
    chosen[0] |= {"split": "validation", "only_split": False}
    assert result_lines({"last": {}, "best": best, "chosen": chosen})[0] == "tau 0.7, chosen on validation"
