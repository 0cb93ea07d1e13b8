"""Only regular files are opened: nothing else can stop a reader."""

import os

import pytest

from gradlens.runlog.format.regular import NotRegularError, TooLargeError, open_regular, reason


def handles():
    return len(os.listdir("/proc/self/fd"))


def test_a_regular_file_is_read(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    with open_regular(tmp_path / "file", most=5) as file:
        assert file.read() == b"12345"


@pytest.mark.timeout(20)
def test_a_pipe_that_nobody_writes_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    before = handles()
    with pytest.raises(NotRegularError, match="it is no regular file"):
        open_regular(tmp_path / "pipe")
    assert handles() == before


def test_folders_devices_and_links_to_them_are_refused(tmp_path):
    (tmp_path / "link").symlink_to("/dev/zero")
    before = handles()
    for path in (tmp_path, tmp_path / "link"):
        with pytest.raises(NotRegularError):
            open_regular(path)
    assert handles() == before


def test_a_file_larger_than_any_of_ours_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(bytes(1001))
    with pytest.raises(TooLargeError, match="it has 1,001 bytes, more than gradlens writes"):
        open_regular(tmp_path / "file", most=1000)


def test_the_reason_is_what_the_system_says_without_the_path(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, said in (
        (tmp_path / "gone", "No such file or directory"),
        (tmp_path / "loop", "Too many levels of symbolic links"),
    ):
        with pytest.raises(OSError) as caught:
            open_regular(path)
        assert reason(caught.value) == said
    assert reason(TimeoutError()) == "TimeoutError"
