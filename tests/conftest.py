"""Fixtures for all tests: where the real data is."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cifar100_root() -> Path:
    """The folder that holds real CIFAR-100, from GRADLENS_DATA or ../shared/data beside the checkout."""
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    for folder in (os.environ.get("GRADLENS_DATA"), beside):
        if folder and list(Path(folder).glob("cifar100/train-*.parquet")):
            return Path(folder)
    pytest.skip(f"real CIFAR-100 is absent: set GRADLENS_DATA, or put it in {beside}")
