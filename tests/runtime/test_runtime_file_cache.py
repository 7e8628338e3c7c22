"""Cached files: one copy for a TaskManager, whole, whoever asks first, and however many at once."""

import multiprocessing
from pathlib import Path

import pytest

import actorflow as af
from actorflow.errors import SourceError
from actorflow.runtime.workers import file_cache
from actorflow.runtime.workers.file_cache import FileCache


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "tree" / "below").mkdir(parents=True)
    (tmp_path / "tree" / "one.txt").write_text("one")
    (tmp_path / "tree" / "below" / "two.txt").write_text("two")
    return tmp_path / "tree"


def cache(directory, **files):
    directory.mkdir(exist_ok=True)
    return FileCache({name: str(path) for name, path in files.items()}, directory)


def contents(path):
    return {file.relative_to(path).as_posix(): file.read_text() for file in sorted(path.rglob("*")) if file.is_file()}


def test_a_file_is_copied_under_its_own_name_and_a_directory_with_all_below_it(tree, tmp_path):
    files = cache(tmp_path / "cache", one=tree / "one.txt", all=tree)
    copy = Path(files.path("one"))
    assert ("one.txt", "one") == (copy.name, copy.read_text())
    assert {"below/two.txt": "two", "one.txt": "one"} == contents(Path(files.path("all")))


def test_it_is_read_once_whoever_asks(tree, tmp_path, monkeypatch):
    opened = []
    read = file_cache.open_input
    monkeypatch.setattr(file_cache, "open_input", lambda uri: opened.append(uri) or read(uri))
    paths = {cache(tmp_path / "cache", one=tree / "one.txt").path("one") for _ in range(3)}
    assert (1, 1) == (len(paths), len(opened))


def test_processes_that_ask_at_once_get_one_copy(tree, tmp_path):
    big = tree / "big.bin"
    big.write_bytes(bytes(range(256)) * 40_000)
    cache(tmp_path / "cache")
    with multiprocessing.get_context("fork").Pool(4) as pool:
        paths = pool.starmap(path_of, [(str(tmp_path / "cache"), str(big))] * 8)
    assert 1 == len(set(paths))
    assert big.read_bytes() == Path(paths[0]).read_bytes()


def path_of(directory, uri):
    return FileCache({"big": uri}, Path(directory)).path("big")


def test_what_somebody_who_was_killed_has_begun_is_begun_anew(tree, tmp_path):
    files = cache(tmp_path / "cache", one=tree / "one.txt")
    whole = Path(files.path("one")).parent
    whole.rename(whole.with_suffix(".part"))
    (whole.with_suffix(".part") / "one.txt").write_text("o")
    assert "one" == Path(files.path("one")).read_text()


def test_an_unknown_name_and_a_missing_file_are_refused_with_what_there_is(tree, tmp_path):
    files = cache(tmp_path / "cache", one=tree / "nothing.txt")
    with pytest.raises(KeyError, match="no cached file 'two'; it has one"):
        files.path("two")
    with pytest.raises(SourceError, match=r"nothing\.txt"):
        files.path("one")
    assert [] == [path for path in (tmp_path / "cache").iterdir() if path.suffix == ""]


def test_two_files_of_one_name_are_refused(tree):
    pipeline = af.Pipeline("twice")
    pipeline.cached_file("words", tree / "one.txt")
    pipeline.cached_file("words", tree / "one.txt")
    with pytest.raises(af.PlanError, match="two cached files called 'words'"):
        pipeline.cached_file("words", tree)


# --- in a job ----------------------------------------------------------------------------------------------------------------------


class Lookup(af.OperatorActor):
    """Emits where the file is, and what is in it."""

    def on_start(self, ctx):
        self.path = ctx.cached_file("one")

    def on_record(self, record, ctx):
        ctx.emit((self.path, Path(self.path).read_text()))


@pytest.mark.parametrize("slots", ["inline", pytest.param(4, marks=pytest.mark.slow)])
def test_all_subtasks_have_the_same_copy_which_is_gone_after_the_job(tree, tmp_path, slots):
    pipeline = af.Pipeline("cached")
    pipeline.cached_file("one", tree / "one.txt")
    looked = pipeline.read(af.sources.collection(range(8))).rebalance().process(Lookup(), parallelism=4)
    local = tmp_path / "local"
    found = set(af.collect(looked, slots=slots, config={"io.tmp.dirs": str(local)}))
    [(path, text)] = found
    assert ("one", True, False) == (text, path.startswith(str(local)), Path(path).exists())
