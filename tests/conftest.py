"""Fixtures for all tests: where the real data is, and a process that is as other tests expect it."""

import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.measure.schedule.manual_clock import ManualClock


def pytest_configure() -> None:
    """Readies this process, and by its environment those that tests start."""
    # Else each of hundreds of processes compiles torch's modules anew, which takes most of its time.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # Programs can be interrupted, also where a shell started the tests in the background.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts files first that hold tests with a time limit of their own, then large ones: no process is left alone with them."""
    sizes = Counter(item.path for item in items)
    long = {item.path for item in items if item.get_closest_marker("timeout")}
    items.sort(key=lambda item: (item.path not in long, -sizes[item.path]))


@pytest.fixture(autouse=True)
def _own_main_module() -> Iterator[None]:
    """Puts ``__main__`` back: Streamlit's AppTest leaves its page there, which a process started later would run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(autouse=True)
def _nobody_listens_on() -> Iterator[None]:
    """Fails a test that leaves a lens, a tracker, a hook or a pass of ours at work: those that come later would meet it."""
    yield
    patches, passes, hooks = (
        sys.modules.get(f"gradlens.guards.{name}") for name in ("patches", "own_pass", "module_hook")
    )
    placed = {} if patches is None else patches._placed
    listening = [patch.name for patch, wrapper in placed.items() if wrapper.listeners.all]
    assert listening == []
    assert passes is None or passes._running == []
    installed = {} if hooks is None else dict(hooks._installed)
    for hook in installed.values():
        hook.remove()  # this test alone fails
    assert installed == {}


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Lets torch compute with one thread, so that sums are formed in one order."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """The clock that gradlens goes by, in the hands of the test."""
    return ManualClock(monkeypatch)


@pytest.fixture(scope="session")
def cifar100_root() -> Path:
    """The folder that holds real CIFAR-100, from GRADLENS_DATA or ../shared/data beside the checkout."""
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    for folder in (os.environ.get("GRADLENS_DATA"), beside):
        if folder and list(Path(folder).glob("cifar100/train-*.parquet")):
            return Path(folder)
    pytest.skip(f"real CIFAR-100 is absent: set GRADLENS_DATA, or put it in {beside}")
