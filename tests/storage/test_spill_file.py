"""Files without a name: what is written is read back, nothing is left behind, and a disk that is full is called by its name."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from actorflow.errors import SpillError
from actorflow.storage.spill_file import SpillFile, spill_directories


def test_what_was_written_is_read_back_from_anywhere(tmp_path):
    file = SpillFile(str(tmp_path), "a test")
    first = file.append([b"abc", memoryview(b"def")])
    second = file.append([b"", b"ghi"])
    assert (b"ghi", b"abcdef") == (file.read(second), file.read(first))
    assert list(tmp_path.iterdir()) == []
    file.close()
    file.close()


def test_a_process_that_is_killed_leaves_nothing(tmp_path):
    program = (
        "import sys, os, signal\nfrom actorflow.storage.spill_file import SpillFile\n"
        "file = SpillFile(sys.argv[1], 'a test'); file.append([b'x' * 1000]); os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named(tmp_path):
    file = SpillFile(str(tmp_path), "the input of 'count'")
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, file._file.fileno())
    os.close(full)
    with pytest.raises(SpillError, match=r"cannot spill the input of 'count' in '.*': No space left on device \(ENOSPC\)"):
        file.append([b"x"])
    file.close()


def test_a_limit_on_the_size_of_files_is_named(tmp_path):
    file = SpillFile(str(tmp_path), "a test")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(SpillError, match=r"File too large \(EFBIG\) after 1 MB"):
            file.append([bytes(2 << 20)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    file.close()


@pytest.mark.parametrize("place", ["missing", "file", "/proc"])
def test_a_directory_that_cannot_be_used_is_named(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(SpillError, match=r"io\.tmp\.dirs") as raised:
        SpillFile(str(tmp_path / place), "a test")
    assert str(tmp_path / place) in str(raised.value)


def test_directories_are_listed_with_commas_or_as_in_a_path():
    assert spill_directories("/a, /b:/c ,") == ["/a", "/b", "/c"]
    assert [Path(name).is_dir() for name in spill_directories(None)] == [True]
    assert spill_directories(None) == spill_directories(" ")
