"""The functions that open files by URI: the same over local disks, fsspec and pyarrow; errors name the file and the reason."""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from fsspec.implementations.arrow import ArrowFSWrapper
from pyarrow import fs as pafs

from actorflow.errors import SinkError, SourceError
from actorflow.storage import files
from actorflow.storage.contract import FileInfo
from actorflow.storage.local import LocalFileSystem
from actorflow.storage.remote import RemoteFileSystem


@pytest.fixture(params=["path", "file://", "memory://"])
def folder(request, tmp_path):
    if request.param == "path":
        return str(tmp_path)
    return f"file://{tmp_path}" if request.param == "file://" else f"memory://{tmp_path.name}"


@pytest.fixture(params=["local", "arrow"])
def contract(request):
    return LocalFileSystem() if request.param == "local" else RemoteFileSystem(ArrowFSWrapper(pafs.LocalFileSystem()), "arrow://")


def put(uri, data=b"x"):
    with files.open_output(uri) as out:
        out.write(data)


def names(folder, uri):
    return [
        info.uri.removeprefix(files.local_path(folder) or "").rpartition(Path(folder).name + "/")[2].lstrip("/") for info in uri
    ]


def test_what_was_written_is_read_back_from_any_offset(folder):
    uri = files.join(folder, "a.bin")
    put(uri, b"0123456789")
    for offset in (0, 4, 10):
        with files.open_input(uri, offset) as stream:
            assert b"0123456789"[offset:] == stream.read()


def test_a_directory_lists_the_files_below_it_without_hidden_ones(folder):
    for name in ("b.txt", "sub/c.txt", ".hidden", "_SUCCESS", "_tmp/d.txt", "sub/.part-0.inprogress"):
        files.make_directory(files.join(folder, str(Path(name).parent)).removesuffix("/."))
        put(files.join(folder, name), b"xyz")
    found = files.list_files(folder)
    assert ["b.txt", "sub/c.txt"] == names(folder, found)
    assert [3, 3] == [info.size_bytes for info in found]


def test_a_glob_lists_what_matches_and_directories_whole(folder):
    for name in ("a1.txt", "a2.txt", ".a3.txt", "b.csv", "_a.txt", "sub/a4.txt"):
        files.make_directory(files.join(folder, str(Path(name).parent)).removesuffix("/."))
        put(files.join(folder, name))
    assert ["_a.txt", "a1.txt", "a2.txt"] == sorted(names(folder, files.list_files(files.join(folder, "*.txt"))))
    assert ["a4.txt"] == [name.rpartition("/")[2] for name in names(folder, files.list_files(files.join(folder, "s*")))]


def test_two_stars_cross_directories(tmp_path):
    (tmp_path / "x" / "y").mkdir(parents=True)
    (tmp_path / "x" / "y" / "deep.txt").write_text("1")
    (tmp_path / "top.txt").write_text("1")
    assert [str(tmp_path / "top.txt"), str(tmp_path / "x/y/deep.txt")] == [
        info.uri for info in files.list_files(f"{tmp_path}/**/*.txt")
    ]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path):
    (tmp_path / "a[1].txt").write_text("12")
    assert [FileInfo(str(tmp_path / "a[1].txt"), 2)] == files.list_files(str(tmp_path / "a[1].txt"))


def test_a_loop_of_links_ends(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a").write_text("1")
    assert [str(tmp_path / "a")] == [info.uri for info in files.list_files(str(tmp_path))]


def test_rename_replaces_and_remove_removes(folder):
    one, two = files.join(folder, "one"), files.join(folder, "two")
    put(one, b"1")
    put(two, b"2")
    files.rename(one, two)
    assert (False, True) == (files.exists(one), files.exists(two))
    with files.open_input(two) as stream:
        assert b"1" == stream.read()
    files.remove(two)
    assert not files.exists(two)
    files.remove(two, missing_ok=True)
    with pytest.raises(SinkError, match="no such file or directory"):
        files.remove(two)


def test_pyarrow_and_local_file_systems_keep_the_same_contract(contract, tmp_path):
    top = str(tmp_path / "top")
    contract.make_directory(f"{top}/sub")
    contract.make_directory(f"{top}/sub")
    with contract.open_output(f"{top}/.new") as out:
        out.write(b"hello")
    assert [] == list(contract.find(top))
    contract.rename(f"{top}/.new", f"{top}/sub/a.txt")
    [info] = contract.find(top)
    assert (f"{top}/sub/a.txt", 5) == (info.uri.removeprefix("arrow://"), info.size_bytes)
    assert [f"{top}/sub/a.txt"] == list(contract.glob(f"{top}/*/*.txt"))
    with contract.open_input(f"{top}/sub/a.txt") as stream:
        stream.seek(1)
        assert b"ello" == stream.read()
    with pytest.raises(OSError):
        contract.open_input(top)
    contract.remove(f"{top}/sub/a.txt")
    assert not contract.exists(f"{top}/sub/a.txt")
    with pytest.raises(FileNotFoundError):
        list(contract.find(f"{top}/missing"))


def test_a_missing_file_is_named(folder):
    uri = files.join(folder, "missing.txt")
    for attempt in (files.open_input, files.list_files):
        with pytest.raises(SourceError) as caught:
            attempt(uri)
        assert f"cannot read '{uri}': no such file or directory" == caught.value.message
        assert "on every machine" in caught.value.hint


def test_a_glob_without_a_match_says_so(tmp_path):
    with pytest.raises(SourceError) as caught:
        files.list_files(f"{tmp_path}/*.txt")
    assert f"cannot read '{tmp_path}/*.txt': no file matches" == caught.value.message


def test_a_directory_is_not_opened_as_a_file(folder):
    directory = files.join(folder, "dir")
    files.make_directory(directory)
    put(files.join(directory, "a"))
    with pytest.raises(SourceError, match="it is a directory"):
        files.open_input(directory)


def test_a_pipe_is_no_input_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match=r"pipe': it is not a regular file"):
        files.list_files(str(tmp_path / "pipe"))
    assert [] == files.list_files(str(tmp_path))


@contextlib.contextmanager
def without_privileges():
    """Be a user whom permissions bind: tests may run as root, who may do everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def closed_folder():
    with tempfile.TemporaryDirectory() as outer:  # not below tmp_path, which only its owner may enter
        folder = Path(outer)
        (folder / "closed").mkdir()
        (folder / "secret").write_text("x")
        for path, mode in ((folder / "closed", 0), (folder / "secret", 0), (folder, 0o555)):
            path.chmod(mode)
        yield folder
        for path in (folder, folder / "closed"):
            path.chmod(0o700)


def test_what_may_not_be_read_is_named(closed_folder):
    closed, secret = closed_folder / "closed", closed_folder / "secret"
    for attempt, path in ((files.list_files, closed), (files.list_files, closed / "a"), (files.open_input, secret)):
        with without_privileges(), pytest.raises(SourceError) as caught:
            attempt(str(path))
        assert f"cannot read '{path}': permission denied" == caught.value.message
        assert "must be allowed to read it" in caught.value.hint


def test_what_may_not_be_written_is_named(closed_folder):
    for attempt in (files.open_output, files.make_directory):
        with without_privileges(), pytest.raises(SinkError) as caught:
            attempt(f"{closed_folder}/new")
        assert f"cannot write '{closed_folder}/new': permission denied" == caught.value.message
        assert "must be allowed to write it" in caught.value.hint


def test_a_full_disk_is_named():
    with pytest.raises(SinkError) as caught, files.writing("/dev/full"):
        stream = files.open_output("/dev/full")
        try:
            stream.write(b"x")
            files.sync(stream)
        finally:
            with contextlib.suppress(OSError):
                stream.close()
    assert "cannot write '/dev/full': no space left on device" == caught.value.message


@pytest.mark.parametrize(
    ("uri", "hint"),
    [
        ("nosuch://x/y", "use a path, file://, s3://, gs://, hdfs://, abfs://, or a scheme fsspec knows"),
        ("dropbox://x/y", "pip install 'fsspec[dropbox]' on every node"),
    ],
)
def test_a_scheme_that_nothing_knows_says_what_to_install(uri, hint):
    with pytest.raises(SourceError) as caught:
        files.open_input(uri)
    scheme = uri.partition(":")[0]
    assert f"cannot read '{uri}': no file system for '{scheme}://' is installed" == caught.value.message
    assert hint == caught.value.hint
    with pytest.raises(SinkError, match="no file system for"):
        files.open_output(uri)


def test_a_scheme_that_pyarrow_cannot_parse_is_one_line():
    with pytest.raises(SourceError) as caught:
        files.open_input("s3://bad bucket/x")
    assert "\n" not in str(caught.value)
    assert caught.value.message.startswith("cannot read 's3://bad bucket/x': ")


def test_uris_mean_the_same_in_every_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path / "a" / "*.txt") == files.as_uri("a/*.txt")
    assert str(tmp_path / "a") == files.as_uri(Path("a"))
    assert "s3://bucket/a" == files.as_uri("s3://bucket/a")
    assert "/a b" == files.local_path("file:///a%20b")


def test_plain_paths_cost_no_heavy_import(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    script = f"""
import sys
from actorflow.connectors import sinks, sources
source = sources.text({str(tmp_path)!r})
assert 2 == sum(len(source.open(split, None).read(10)) for split in source.splits(2))
list(sources.collection([1]).splits(1)); list(sources.generator(count=1).splits(1)); sinks.print(), sinks.json_lines("x")
print(sorted({{"pyarrow", "fsspec", "polars", "numpy"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout
