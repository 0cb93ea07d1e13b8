"""A text with a checksum of its own bytes: any change of a byte is seen."""

import json
import zlib

import pytest

from gradlens.runlog.format.text_proof import TEXT_KEY, intact, proven_text, run_seed

TEXT = json.dumps({"steps": [1, 2, 3], TEXT_KEY: "00000000", "name": "é"}).encode()


def test_the_checksum_is_that_of_the_text_with_zeros_in_its_place():
    proven = proven_text(TEXT)
    assert json.loads(proven)[TEXT_KEY] == f"{zlib.crc32(TEXT):08x}"
    assert len(proven) == len(TEXT)
    assert intact(proven) is True
    assert proven_text(proven) == proven  # what it held before does not count


@pytest.mark.parametrize("place", range(len(TEXT)))
def test_every_changed_byte_is_seen(place):
    proven = proven_text(TEXT)
    changed = proven[:place] + bytes([proven[place] ^ 1]) + proven[place + 1 :]
    assert intact(changed) is not True


def test_a_text_without_a_checksum_says_nothing():
    assert intact(b'{"steps": []}') is None


def test_the_text_of_another_run_does_not_pass():
    mine, other = run_seed("a1"), run_seed("b2")
    assert mine == zlib.crc32(b"a1")
    assert run_seed(None) == 0
    assert intact(proven_text(TEXT, mine), mine) is True
    assert intact(proven_text(TEXT, mine), other) is False
