"""`--groups frequency` and a file of groups: from the options to the groups of a run."""

from __future__ import annotations

import re

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from gradlens.tracking.errors import TrackError, WrongUse
from gradlens.tracking.find.drawn_samples import DrawnSamples
from gradlens.tracking.find.group_choice import choose_groups, fit
from gradlens.tracking.find.group_search import COUNTED_TOKENS, GroupSearch
from gradlens.tracking.options import TrackOptions, check_groups, read_groups

FREQUENCY = TrackOptions(groups="frequency")
# 80 of 100 tokens, 17, and 3 of 100; the last of six is never seen.
TOKENS = torch.tensor([2] * 80 + [0] * 10 + [5] * 7 + [4] * 3)


def shuffled(rows):
    return TOKENS[torch.randperm(100, generator=torch.Generator().manual_seed(1))].view(rows, -1)


def test_it_is_a_rule():
    check_groups("frequency")


def test_tokens_of_the_data_give_the_groups_at_once():
    table = shuffled(10)
    data = TensorDataset(table, table)
    drawn = DrawnSamples(data)
    drawn.add([4, 9])
    search = GroupSearch(FREQUENCY, 6, [(DataLoader(data, 2), drawn)], table[[4, 9]].view(-1))
    groups = search.offer(table[[4, 9]].view(-1), 0, pass_over=False)
    assert dict(zip(groups.names, groups.classes, strict=True)) == {"head": (2,), "middle": (0, 5), "tail": (1, 3, 4)}
    assert "4 of 6 ids seen, counts from TensorDataset.tensors[1]" in groups.rule


def test_else_the_first_batches_are_counted_and_the_line_says_so():
    table = [row.clone() for row in shuffled(20)]
    search = GroupSearch(FREQUENCY, 6, [], table[0])
    found = [search.offer(table[n % 20], n, pass_over=False) for n in range(COUNTED_TOKENS + 1)]
    assert found[:-1] == [None] * COUNTED_TOKENS
    assert found[-1].classes == ((2,), (0, 5), (1, 3, 4))
    assert f"counts from labels of the first {COUNTED_TOKENS} backward passes" in found[-1].rule
    assert f"counting the tokens of the first {COUNTED_TOKENS} backward passes" in search.waits
    assert "--groups-from FILE" in search.unfinished()


def test_padding_is_no_class_even_if_it_is_an_id_of_the_vocabulary():
    groups = choose_groups(FREQUENCY, 6, torch.bincount(TOKENS, minlength=6).numpy(), "here", ignored=0)
    assert groups.of_class()[0] == -1
    assert groups.of_class()[2] == 0


def options_of(path):
    return TrackOptions(groups_from=read_groups(path), groups_source=path)


def test_groups_of_a_file(tmp_path):
    path = tmp_path / "words.csv"
    path.write_text("0,rare\n3,often\n1,rare\n")
    options = options_of(path)
    assert fit(options, 6)
    assert not fit(options, 3)
    groups = choose_groups(options, 6, None, None)
    assert groups.names == ("rare", "often")
    assert groups.num_classes == 6
    assert groups.rule == f"from {path}"
    with pytest.raises(WrongUse, match=rf"--groups-from {re.escape(str(path))}: class 3 is unknown: ids of 3 classes"):
        choose_groups(options, 3, None, None)


def test_a_file_that_cannot_be_used_is_refused_before_the_script_runs(tmp_path):
    with pytest.raises(TrackError, match=r"--groups-from .*none\.json is missing"):
        read_groups(tmp_path / "none.json")
