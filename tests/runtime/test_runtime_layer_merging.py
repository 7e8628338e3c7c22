"""Layers that are merged by a process of its own: the same layer as here, whatever becomes of that process."""

import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from actorflow.errors import CheckpointError
from actorflow.runtime.checkpoints.layer_merging import LayerMerger
from actorflow.state.layers import Chunk, Place, encode_layer, payload
from actorflow.storage.checkpoint_files import CheckpointFiles

COUNTS, PANE = Place("count"), Place("panes", True, (0, 10))


@dataclass(frozen=True)
class Own:
    """A value of a class that is the user's."""

    number: int


@pytest.fixture
def files(tmp_path):
    return CheckpointFiles(str(tmp_path / "checkpoints"), "job-1", inline_bytes_max=0)


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Return a function that has mergers run by a shell script, and one that counts how many were started."""
    log = tmp_path / "started"
    log.touch()

    def run_by(script):
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\necho one >> {log}\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return run_by, lambda: len(log.read_text().split())


def line(files, last=2):
    layers = [
        [Chunk(COUNTS, ["a", "b", "c"], [1, 1, 1], []), Chunk(PANE, ["a", "b"], [timedelta(1), (1, 2)], [])],
        [Chunk(COUNTS, ["b"], [2], ["c", "d"]), Chunk(PANE, [], [], [], dropped=True), Chunk(PANE, ["b"], [[3]], [])],
        [Chunk(COUNTS, ["d"], [last], ["e"])],
    ]
    return [files.write_shared(encode_layer(("count", payload(chunk)) for chunk in layer)) for layer in layers]


@pytest.mark.parametrize("base", [True, False])
def test_a_process_of_its_own_merges_to_the_same_layer(files, started, base):
    run_by, count = started
    run_by(f'exec {sys.executable} "$@"')
    layers = line(files)
    expected = LayerMerger().merged(layers, base=base)
    assert count() == 0  # it is small
    assert LayerMerger(0).merged(layers, base=base) == expected
    assert count() == 1


@pytest.mark.parametrize(
    "script",
    ["kill -9 $$", "cat > /dev/null; kill -9 $$", "printf AFLAYER; exit 1", "exit 0 | exit 3"],
    ids=["killed", "killed later", "half written", "refused"],
)
def test_what_a_merger_does_not_do_is_done_here(files, started, script):
    run_by, count = started
    layers = line(files)
    expected = LayerMerger().merged(layers, base=True)
    run_by(script)
    assert LayerMerger(0).merged(layers, base=True) == expected
    assert count() == 1


def test_without_an_interpreter_that_can_be_started_layers_are_merged_here(files, monkeypatch):
    layers = line(files)
    expected = LayerMerger().merged(layers, base=True)
    for executable in ("/nonexistent/python", "", None):
        monkeypatch.setattr(sys, "executable", executable)
        assert LayerMerger(0).merged(layers, base=True) == expected


def test_values_of_users_classes_are_merged_here_and_no_merger_is_started_again(files, started):
    run_by, count = started
    run_by(f'exec {sys.executable} "$@"')
    layers = line(files, Own(7))
    expected = LayerMerger().merged(layers, base=True)
    merger = LayerMerger(0)
    assert [merger.merged(layers, base=True) for _ in range(2)] == [expected] * 2
    assert count() == 1


def test_a_damaged_layer_is_named_by_the_worker(files):
    layers = line(files)
    path = Path(layers[1].uri)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(CheckpointError, match="it is truncated or damaged"):
        LayerMerger(0).merged(layers, base=True)
