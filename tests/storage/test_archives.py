"""Directories as archives: the same files, the same bytes; and archives of strangers, which write nothing outside their directory."""

import io
import os
import tarfile
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actorflow.errors import SourceError
from actorflow.storage.archives import pack, unpack

TREE = {"a": b"1", "sub/b": b"", "sub/.hidden": b"2", "sub/_too": bytes(range(256)) * 5_000, "z/ä ö/\u2603": b"3", "n" * 200: b"4"}


def made(directory, files=TREE):
    for name, data in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)
    return directory


def found(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def packed(directory, path):
    with path.open("wb") as file:
        pack(directory, file)
    return path


def test_a_directory_comes_back_as_it_was(tmp_path):
    source = made(tmp_path / "source")
    (source / "empty").mkdir()
    (source / "a").chmod(0o755)
    unpack(packed(source, tmp_path / "tar"), tmp_path / "copy")
    assert TREE == found(tmp_path / "copy")
    assert (True, True, False) == (
        (tmp_path / "copy" / "empty").is_dir(),
        os.access(tmp_path / "copy" / "a", os.X_OK),
        os.access(tmp_path / "copy" / "sub" / "b", os.X_OK),
    )


def test_the_same_files_give_the_same_bytes_whenever_they_were_written(tmp_path):
    one, two = made(tmp_path / "one"), made(tmp_path / "two", dict(reversed(TREE.items())))
    os.utime(two / "a", (1, 1))
    assert packed(one, tmp_path / "1").read_bytes() == packed(two, tmp_path / "2").read_bytes()


def test_a_link_to_a_file_counts_as_the_file_and_one_to_a_directory_is_left_out(tmp_path):
    source = made(tmp_path / "source", {"a": b"1"})
    (tmp_path / "elsewhere").write_bytes(b"2")
    (source / "link").symlink_to(tmp_path / "elsewhere")
    (source / "loop").symlink_to(source)
    os.mkfifo(source / "pipe")
    unpack(packed(source, tmp_path / "tar"), tmp_path / "copy")
    assert {"a": b"1", "link": b"2"} == found(tmp_path / "copy")
    assert not (tmp_path / "copy" / "link").is_symlink()


def member(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, 4 if kind == tarfile.REGTYPE else 0
    return info


def archive(path, *members):
    with tarfile.open(path, "w") as tar:
        for info in members:
            tar.addfile(info, io.BytesIO(b"evil"))
    return path


@pytest.mark.parametrize(
    "members",
    [
        [member("../out")],
        [member("/out")],
        [member("a/../../out")],
        [member("./out")],
        [member("a//b")],
        [member("link", tarfile.SYMTYPE, "/etc")],
        [member("link", tarfile.SYMTYPE, ".."), member("link/out")],
        [member("link", tarfile.LNKTYPE, "/etc/passwd")],
        [member("device", tarfile.CHRTYPE)],
        [member("pipe", tarfile.FIFOTYPE)],
        [member("sparse", tarfile.GNUTYPE_SPARSE)],
    ],
    ids=["up", "root", "down and up", "dot", "empty", "link", "through a link", "hard link", "device", "pipe", "sparse"],
)
def test_what_we_do_not_pack_is_not_unpacked(tmp_path, members):
    with pytest.raises(SourceError):
        unpack(archive(tmp_path / "tar", *members), tmp_path / "copy")
    assert ["copy", "tar"] == sorted(path.name for path in tmp_path.iterdir())
    assert {} == found(tmp_path / "copy")


@pytest.mark.parametrize("members", [[member("a"), member("a")], [member("a"), member("a/b")]], ids=["twice", "below a file"])
def test_a_name_that_is_taken_is_refused(tmp_path, members):
    with pytest.raises((SourceError, OSError)):
        unpack(archive(tmp_path / "tar", *members), tmp_path / "copy")
    assert {"a": b"evil"} == found(tmp_path / "copy")


NAMES = st.lists(st.sampled_from(["a", "b", "..", ".", "", "link", "\u2603", "x" * 120]), min_size=1, max_size=4).map("/".join)
KINDS = st.sampled_from(
    [tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.GNUTYPE_SPARSE]
)
MEMBERS = st.lists(st.builds(member, NAMES, KINDS, st.sampled_from(["", "..", "/", "a", "../.."])), max_size=5)
DAMAGE = st.lists(st.tuples(st.integers(0, 1 << 14), st.integers(0, 255)), max_size=8)


def fuzz(tmp_path_factory, members, damage, cut):
    base = tmp_path_factory.mktemp("fuzz")
    tar = archive(base / "tar", *members)
    data = bytearray(tar.read_bytes())
    for place, value in damage:
        data[place % len(data)] = value
    tar.write_bytes(data[: len(data) - cut])
    before = tar.read_bytes()
    with suppress(SourceError, OSError):
        unpack(tar, base / "copy")
    assert {"copy", "tar"} == {path.name for path in base.iterdir()}
    assert before == tar.read_bytes()
    for path in (base / "copy").rglob("*"):
        assert not path.is_symlink()
        assert path.is_dir() or (path.is_file() and path.stat().st_nlink == 1)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(MEMBERS, DAMAGE, st.integers(0, 2_000))
def test_whatever_an_archive_says_nothing_is_written_elsewhere_and_no_link_is_made(tmp_path_factory, members, damage, cut):
    fuzz(tmp_path_factory, members, damage, cut)


@pytest.mark.slow
@settings(max_examples=1_500, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(MEMBERS, DAMAGE, st.integers(0, 2_000))
def test_whatever_an_archive_says_a_thousand_times(tmp_path_factory, members, damage, cut):
    fuzz(tmp_path_factory, members, damage, cut)
