"""Layers of state in files: every key once after a change of parallelism, damage is named, and a full disk loses nothing."""

import threading
from collections import Counter
from pathlib import Path

import pytest

from actorflow.errors import CheckpointError
from actorflow.plan.key_groups import group_range, key_group
from actorflow.runtime.checkpoints import layered_state
from actorflow.runtime.checkpoints.layer_line import LayerLine
from actorflow.runtime.checkpoints.layered_state import LayeredState
from actorflow.runtime.checkpoints.restored_layers import restored_layers
from actorflow.state.hashmap import HashMapBackend
from actorflow.storage.checkpoint_files import CheckpointFiles
from actorflow.wire.manifest import InlineState, StoredFile, SubtaskState
from actorflow.wire.stable_hash import stable_hash

GROUPS = 32
KEYS = [f"key-{number}" for number in range(300)]


class OneOperator:
    """As much of a chain as keyed state needs."""

    def __init__(self):
        self.backend = HashMapBackend(lambda: 0)

    def backends(self):
        return {"count": self.backend}

    def set(self, keys, value):
        self.backend.load("count", keys)
        self.backend.table("count").update(dict.fromkeys(keys, value))
        for key in keys:
            self.backend.timers("event").set(value, key)


class Counting:
    """A subtask that counts, and its checkpoints in files."""

    def __init__(self, directory, index=0):
        self.chain = OneOperator()
        self.files = CheckpointFiles(str(directory), "job-1", inline_bytes_max=0)
        self.layers = LayeredState(self.chain, self.files, 0)
        self.index = index
        self.number = 0

    def checkpoint(self):
        self.number += 1
        stored = self.layers.store(self.layers.capture(self.number))
        self.layers.completed(self.number)
        return SubtaskState(
            self.index, InlineState(b""), dict(stored.files), layers=stored.layers, base=stored.base, top=stored.top
        )

    def panes(self, keys, pane, value):
        self.chain.backend.load("panes", keys, pane)
        self.chain.backend.table("panes", pane).update(dict.fromkeys(keys, value))

    def restore(self, parts, parallelism):
        for operator, chunk in restored_layers(parts, self.index, parallelism, GROUPS):
            self.chain.backends()[operator].absorb(chunk)


@pytest.fixture
def counting(tmp_path):
    subtask = Counting(tmp_path / "checkpoints")
    subtask.chain.set(KEYS, 1)
    return subtask


def test_every_key_is_there_once_after_each_change_of_parallelism(tmp_path, counting):
    counting.checkpoint()
    counting.chain.set(KEYS[:30], 2)
    parts = [counting.checkpoint()]
    for parallelism in (3, 2, 5, 1):
        subtasks = [Counting(tmp_path / f"of-{parallelism}", index) for index in range(parallelism)]
        held, timers = Counter(), Counter()
        for subtask in subtasks:
            subtask.restore(parts, parallelism)
            table = subtask.chain.backend.table("count")
            mine = group_range(subtask.index, parallelism, GROUPS)
            assert all(key_group(stable_hash(key), GROUPS) in mine for key in table)
            held.update(table.items())
            timers.update((timer.key, timer.timestamp) for timer in subtask.chain.backend.timers("event"))
        expected = {key: 2 if key in KEYS[:30] else 1 for key in KEYS}
        assert Counter(expected.items()) == held
        assert Counter([*((key, 1) for key in KEYS), *((key, 2) for key in KEYS[:30])]) == timers
        parts = [subtask.checkpoint() for subtask in subtasks]


def test_a_delta_writes_what_has_changed(counting):
    base = counting.checkpoint()
    counting.chain.set(KEYS[:3], 2)
    delta = counting.checkpoint()
    assert base.layers == ("layer-0",)
    assert base.files["layer-0"] == delta.files["layer-0"]
    assert delta.files["layer-1"].size_bytes < base.files["layer-0"].size_bytes / 20


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "state is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-5]), "it is truncated or damaged"),
        (lambda path: path.write_bytes(b"\0" + path.read_bytes()[1:]), "is damaged: its checksum"),
    ],
    ids=["missing", "truncated", "changed"],
)
def test_a_damaged_layer_is_named(counting, damage, message):
    counting.checkpoint()
    counting.chain.set(KEYS[:3], 2)
    part = counting.checkpoint()
    path = Path(part.files["layer-1"].uri)
    damage(path)
    with pytest.raises(CheckpointError) as failure:
        list(restored_layers([part], 0, 1, GROUPS))
    assert path.name in str(failure.value)
    assert message in str(failure.value)


def test_what_could_not_be_stored_is_in_the_next_checkpoint(tmp_path, counting):
    counting.checkpoint()
    shared = tmp_path / "checkpoints" / "job-1" / "shared"
    shared.rename(tmp_path / "aside")
    shared.write_text("no directory: nothing can be written here")
    counting.chain.set(KEYS[:3], 2)
    with pytest.raises(CheckpointError, match="cannot store state"):
        counting.checkpoint()
    counting.layers.given_up(counting.number)
    shared.unlink()
    (tmp_path / "aside").rename(shared)
    counting.chain.set(KEYS[3:5], 3)
    again = Counting(tmp_path / "again")
    again.restore([counting.checkpoint()], 1)
    table = again.chain.backend.table("count")
    assert {**dict.fromkeys(KEYS, 1), **dict.fromkeys(KEYS[:3], 2), **dict.fromkeys(KEYS[3:5], 3)} == table


def test_a_run_that_goes_on_builds_upon_the_layers_that_it_was_restored_from(tmp_path, counting):
    part = counting.checkpoint()
    again = Counting(tmp_path / "checkpoints")
    again.restore([part], 1)
    again.layers.resume(part)
    again.chain.set(KEYS[:1], 2)
    assert part.files["layer-0"] == again.checkpoint().files["layer-0"]
    other = Counting(tmp_path / "of another job")
    other.restore([part], 1)
    other.layers.resume(part)
    assert other.checkpoint().layers == ("layer-0",)


def test_of_a_part_that_nobody_hears_of_no_file_is_left_neither_its_own_nor_a_merged_one(tmp_path, counting):
    counting.checkpoint()
    for value in range(2, 5):
        counting.chain.set(KEYS, value)
        part = counting.checkpoint()
    counting.layers.merge(lambda work: work(), lambda work: work(), lambda: False)
    counting.chain.set(KEYS, 5)
    captured = counting.layers.capture(counting.number + 1)
    stored = counting.layers.store(captured)
    shared = tmp_path / "checkpoints" / "job-1" / "shared"
    assert {Path(file.uri).name for file in stored.files.values()} == {path.name for path in shared.iterdir()}
    assert len(stored.layers) < len(part.layers)
    counting.layers.withdraw(captured, stored)
    assert {Path(file.uri).name for file in part.files.values()} == {path.name for path in shared.iterdir()}


def test_layers_are_merged_again_after_a_merge_has_failed_for_whatever_reason(counting, monkeypatch):
    counting.checkpoint()
    for value in range(2, 5):
        counting.chain.set(KEYS, value)
        part = counting.checkpoint()

    def fails(data):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(counting.files, "write_shared", fails)
        counting.layers.merge(lambda work: work(), lambda work: work(), lambda: False)
    counting.layers.merge(lambda work: work(), lambda work: work(), lambda: False)
    assert len(counting.checkpoint().layers) < len(part.layers)


def test_nothing_is_merged_where_the_next_snapshot_is_a_base(tmp_path):
    subtask = Counting(tmp_path / "checkpoints")
    subtask.chain.backend.replaced("count")
    for value, keys in enumerate((KEYS[:3], KEYS)):
        subtask.chain.backend.table("count").update(dict.fromkeys(keys, 1000 + value))
        part = subtask.checkpoint()
    subtask.layers.merge(lambda work: work(), lambda work: work(), lambda: False)
    shared = tmp_path / "checkpoints" / "job-1" / "shared"
    assert {Path(file.uri).name for file in part.files.values()} == {path.name for path in shared.iterdir()}
    assert subtask.checkpoint().layers == ("layer-0",)


def test_a_snapshot_that_begins_afresh_takes_with_it_what_was_merged_in_vain():
    line = LayerLine(lambda _: None, lambda _: None)
    base, *deltas = [StoredFile(f"file-{number}", 4 if number else 100, "") for number in range(34)]
    merged = StoredFile("merged", 50, "")
    line.resume((base, *deltas), 1)
    assert tuple(deltas) == line.due()
    assert line.merged(tuple(deltas), merged)
    assert (base, *deltas, merged) == line.begin(1, afresh=True).kept
    assert (base, *deltas) == line.begin(2, afresh=True).kept


def test_layers_that_were_merged_and_stand_in_the_line_no_more_do_not_keep_others_from_being_merged():
    line = LayerLine(lambda _: None, lambda _: None)
    base, *deltas = [StoredFile(f"file-{number}", 300 if number else 100, "") for number in range(3)]
    line.resume((base, *deltas), 1)
    line.begin(1)
    line.begin(2, afresh=True)
    line.stored(2, (StoredFile("new base", 100, ""),))
    assert not line.merged(line.due(), StoredFile("merged", 50, "")), "the second snapshot may do without these layers"
    line.given_up(2)
    assert line.merged(line.due(), StoredFile("merged", 50, ""))
    line.begin(3, afresh=True)
    line.stored(3, (StoredFile("new base", 10, ""),))
    line.completed(3)
    line.begin(4)
    line.stored(4, (StoredFile("delta", 30, ""),))
    line.completed(4)
    assert ["new base", "delta"] == [file.uri for file in line.due()]


def test_a_base_of_several_files_stays_one_when_it_was_merged_in_vain():
    line = LayerLine(lambda _: None, lambda _: None)
    base = (StoredFile("base-1", 10, ""), StoredFile("base-2", 10, ""))
    first, second, merged = (StoredFile(name, size, "") for name, size in (("first", 50), ("second", 5), ("merged", 40)))
    line.resume(base, 2)
    line.begin(1)
    line.begin(2)
    line.stored(1, (first,))
    line.completed(1)
    assert line.merged(line.due(), merged)
    line.stored(2, (second,))
    line.completed(2)
    below = line.begin(3)
    assert ((*base, second), 2, (merged,)) == (below.layers, below.base, below.kept)


def line_of(base, deltas):
    """Return a line with files of these sizes in MB, and the files."""
    line = LayerLine(lambda _: None, lambda _: None)
    files = tuple(StoredFile(f"file-{number}", size << 20, "") for number, size in enumerate([*base, *deltas]))
    line.resume(files, len(base))
    return line, files


def test_layers_too_large_to_be_merged_in_memory_become_a_base_when_the_deltas_are_twice_as_large():
    line, files = line_of([32, 8], [70])
    assert () == line.due()
    assert files == line.begin(1).layers
    line, files = line_of([32, 8], [70, 11])
    assert () == line.due()
    assert ((), files) == (line.begin(1).layers, line.begin(2).kept)


def test_of_many_large_deltas_the_most_neighbours_are_merged_that_fit_into_memory():
    line, files = line_of([32, 32, 32], [20, 20, *[1] * 31, 20])
    run = line.due()
    assert files[5:36] == run
    merged = StoredFile("merged", 31 << 20, "")
    assert line.merged(run, merged)
    below = line.begin(1)
    assert (*files[:5], merged, files[36]) == below.layers
    assert 3 == below.base


def test_a_large_layer_is_several_files_and_a_base_all_the_same(tmp_path, counting, monkeypatch):
    monkeypatch.setattr(layered_state, "LAYER_BYTES_MAX", 1000)
    base = counting.checkpoint()
    assert len(base.layers) == base.base > 1
    counting.chain.set(KEYS[:3], 2)
    delta = counting.checkpoint()
    assert (base.base, base.base + 1) == (delta.base, len(delta.layers))
    again = Counting(tmp_path / "checkpoints")
    again.restore([delta], 1)
    assert {key: 2 if key in KEYS[:3] else 1 for key in KEYS} == again.chain.backend.table("count")
    again.layers.resume(delta)
    following = again.checkpoint()
    assert following.base == base.base
    assert [delta.files[name] for name in delta.layers] == [following.files[name] for name in following.layers[:-1]]


def test_what_cannot_be_stored_as_a_whole_leaves_nothing(tmp_path, counting, monkeypatch):
    monkeypatch.setattr(layered_state, "LAYER_BYTES_MAX", 1000)
    counting.chain.backend.replaced("later")
    counting.chain.backend.table("later")["key"] = threading.Lock()  # becomes bytes when the first file is written
    captured = counting.layers.capture(1)
    with pytest.raises(CheckpointError, match="cannot be pickled"):
        counting.layers.store(captured)
    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("parallelism", [1, 3])
def test_a_table_that_one_subtask_has_dropped_keeps_the_keys_of_others(tmp_path, parallelism):
    two = [Counting(tmp_path / f"two-{index}", index) for index in range(2)]
    parts = []
    for subtask in two:
        keys = [key for key in KEYS if key_group(stable_hash(key), GROUPS) in group_range(subtask.index, 2, GROUPS)]
        subtask.panes(keys, "pane", 1)
        subtask.checkpoint()
        if subtask.index == 1:
            subtask.chain.backend.drop("panes", "pane")
            subtask.panes(keys[:2], "pane", 5)
        parts.append(subtask.checkpoint())
    held = {}
    for index in range(parallelism):
        subtask = Counting(tmp_path / f"of-{index}", index)
        subtask.restore(parts, parallelism)
        held |= dict(subtask.chain.backend.entries("panes", "pane"))
    of_first = [key for key in KEYS if key_group(stable_hash(key), GROUPS) in group_range(0, 2, GROUPS)]
    of_second = [key for key in KEYS if key not in of_first]
    assert dict.fromkeys(of_first, 1) | dict.fromkeys(of_second[:2], 5) == held


def test_what_a_subtask_leaves_at_its_end_is_all_of_it_though_a_checkpoint_is_on_its_way(tmp_path, counting):
    counting.checkpoint()
    for number, key in ((2, KEYS[0]), (3, KEYS[1])):  # the barrier of the third comes before the news of the second
        counting.chain.set([key], number)
        counting.layers.store(counting.layers.capture(number))
    counting.layers.completed(2)
    last = counting.layers.store(counting.layers.capture(4))
    part = SubtaskState(0, InlineState(b""), dict(last.files), layers=last.layers, base=last.base, top=last.top)
    restored = Counting(tmp_path / "restored")
    restored.restore([part], 1)
    assert dict(restored.chain.backend.table("count").items()) == dict.fromkeys(KEYS, 1) | {KEYS[0]: 2, KEYS[1]: 3}


def test_what_a_subtask_leaves_at_its_end_is_a_delta_where_the_files_below_it_stay(counting):
    base = counting.checkpoint()
    counting.chain.set(KEYS[:1], 2)
    counting.layers.store(counting.layers.capture(2))  # on its way, above the same base
    last = counting.layers.store(counting.layers.capture(3))
    assert base.files["layer-0"] in last.files.values()
    assert last.stored_bytes < base.files["layer-0"].size_bytes / 20


def test_a_snapshot_says_which_checkpoint_is_the_oldest_that_later_ones_may_build_upon():
    line = LayerLine(lambda _: None, lambda _: None)
    assert [1, 1, 1] == [line.begin(number).oldest for number in (1, 2, 3)]
    line.given_up(1)
    assert 2 == line.begin(4).oldest
    line.completed(3)
    assert 4 == line.begin(5).oldest
    assert 9 == [line.begin(number).oldest for number in range(6, 25)][-1], "those begun before are forgotten"
