"""What `faulthandler` writes of a process that is signalled, and how it reads."""

import os
import time

import pytest

from actorflow.errors import ActorflowError
from actorflow.runtime.workers import stacks


def test_a_process_writes_where_it_stands(tmp_path):
    path = stacks.stack_file(tmp_path, "1.1")
    file = stacks.write_on_signal(path)
    try:
        os.kill(os.getpid(), stacks.SIGNAL)
        text = stacks.readable(path.read_text())
    finally:
        stacks.faulthandler.unregister(stacks.SIGNAL)
        file.close()

    assert "os.kill(os.getpid(), stacks.SIGNAL)" in text
    assert text.index("main thread") == 0


def test_the_most_recent_call_comes_last_and_the_main_thread_first():
    dump = (
        'Thread 0x1 (most recent call first):\n  File "/a.py", line 1 in wait\n\n'
        'Current thread 0x2 (most recent call first):\n  File "/b.py", line 2 in inner\n  File "/b.py", line ??? in <module>\n'
    )
    assert stacks.readable(dump) == (
        'main thread (most recent call last):\n  File "/b.py", line ??? in <module>\n  File "/b.py", line 2 in inner\n\n'
        'thread 1 (most recent call last):\n  File "/a.py", line 1 in wait'
    )


def test_a_process_that_writes_nothing_is_told(tmp_path, monkeypatch):
    path = tmp_path / "stack"
    path.write_text("half of a dum")
    monkeypatch.setattr(stacks, "_WRITTEN_WITHIN_S", 0.01)
    began = time.monotonic()
    with pytest.raises(ActorflowError, match="does not say"):
        stacks.read_dump(path)
    assert time.monotonic() >= began


def test_workers_are_known_by_their_allocation():
    assert stacks.belongs_to("worker-1.1-abcdef01", "1.1")
    assert not stacks.belongs_to("worker-1.10-abcdef01", "1.1")
