"""Directories that do not outlive their process for long, and are nobody else's business."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from actorflow.errors import StateError
from actorflow.state.directories import OwnedDirectory, remove_leftovers

OWN_ONE = """
import sys
from pathlib import Path
from actorflow.state.directories import OwnedDirectory
directory = OwnedDirectory(Path(sys.argv[1]), "count job")
(directory.path / "data").write_text("state")
print(directory.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def owner(tmp_path):
    """Another process that owns a directory."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWN_ONE, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    process.directory = Path(process.stdout.readline().strip())
    yield process
    process.kill()
    process.communicate()


def test_a_directory_is_gone_when_it_is_closed(tmp_path):
    directory = OwnedDirectory(tmp_path / "not" / "there", "job")
    (directory.path / "data").write_text("state")
    directory.close()
    directory.close()
    assert [] == list((tmp_path / "not" / "there").iterdir())


def test_what_a_killed_process_has_left_is_removed_by_the_next_one(tmp_path, owner):
    assert (owner.directory / "data").exists()
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    mine = OwnedDirectory(tmp_path, "job")
    assert {mine.path, mine.path.with_name(mine.path.name + ".lock")} == set(tmp_path.iterdir())
    mine.close()


def test_what_a_living_process_owns_is_not_touched(tmp_path, owner):
    mine = OwnedDirectory(tmp_path, "job")
    assert [] == remove_leftovers(tmp_path)
    mine.close()
    assert (owner.directory / "data").exists()


def test_other_files_are_not_touched(tmp_path):
    (tmp_path / "actorflow-state-notes.txt").write_text("mine")
    (tmp_path / "results.lock").write_text("mine")
    assert [] == remove_leftovers(tmp_path)
    assert 2 == len(list(tmp_path.iterdir()))


@pytest.mark.slow
def test_no_directory_is_taken_for_a_leftover_while_it_is_made(tmp_path):
    stop = threading.Event()

    def clean():
        while not stop.is_set():
            remove_leftovers(tmp_path)

    cleaner = threading.Thread(target=clean)
    cleaner.start()
    try:
        for _ in range(500):
            directory = OwnedDirectory(tmp_path, "job")
            (directory.path / "data").write_text("state")
            directory.close()
    finally:
        stop.set()
        cleaner.join()
    assert [] == list(tmp_path.iterdir())


def test_a_place_that_is_no_directory_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"cannot keep state in '.*file': .* \(hint: state.backend.rocksdb.localdir"):
        OwnedDirectory(tmp_path / "file", "job")
