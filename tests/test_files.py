"""Files and folders are whole or absent, whatever happens half-way."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.files import (
    _put_new,
    check_vacant,
    read_json,
    renamed,
    sha256_of,
    whole_file,
    whole_folder,
    write_json,
)
from tests.conftest import small_disk_at


def test_a_file_is_written_whole_and_readable_like_any_other(tmp_path: Path) -> None:
    with whole_file(tmp_path / "new" / "a.txt") as partial:
        partial.write_text("content")
        assert not (tmp_path / "new" / "a.txt").exists()
    other = tmp_path / "other"
    other.touch()
    assert (tmp_path / "new" / "a.txt").read_text() == "content"
    assert (tmp_path / "new" / "a.txt").stat().st_mode == other.stat().st_mode


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_whatever_lies_in_a_folder_is_readable_like_any_other_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with whole_folder(tmp_path / "folder") as partial:
            (partial / "within").mkdir(mode=0o700)
            for file in (partial / "private", partial / "within" / "private"):
                file.touch(mode=0o600)
    finally:
        os.umask(before)
    modes = {path: path.stat().st_mode & 0o777 for path in [tmp_path / "folder", *(tmp_path / "folder").rglob("*")]}
    assert len(modes) == 4
    assert all(mode == (0o777 if path.is_dir() else 0o666) & ~umask for path, mode in modes.items())


def test_a_failure_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail_half_way() -> None:
        with whole_file(path) as partial:
            partial.write_text("new")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail_half_way()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_failure_leaves_the_old_folder_and_no_rest(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").touch()

    def fail_half_way() -> None:
        with whole_folder(folder, replace=True) as partial:
            (partial / "new").touch()
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail_half_way()
    assert os.listdir(folder) == ["old"]
    assert os.listdir(tmp_path) == ["folder"]


def test_a_folder_is_replaced_only_when_told(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(UserError, match="already holds something"), whole_folder(folder):
        pass
    with whole_folder(folder, replace=True) as partial:
        (partial / "new").touch()
    assert os.listdir(folder) == ["new"]
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.parametrize(("first_stands", "kept"), [(True, "first"), (False, "second")])
@pytest.mark.parametrize("old", [True, False])
def test_of_two_that_write_a_folder_at_once_the_first_stands_when_told(
    tmp_path: Path, old: bool, first_stands: bool, kept: str
) -> None:
    path = tmp_path / "folder"
    if old:
        path.mkdir()
        (path / "file").write_text("old")
    with whole_folder(path, replace=True, first_stands=first_stands) as partial:
        (partial / "file").write_text("second")
        with whole_folder(path, replace=True, first_stands=first_stands) as other:
            (other / "file").write_text("first")
    assert (path / "file").read_text() == kept
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


def test_a_folder_that_another_process_wrote_meanwhile_is_not_replaced_untold(tmp_path: Path) -> None:
    path = tmp_path / "folder"

    def write() -> None:
        with whole_folder(path) as partial:
            (partial / "file").write_text("second")
            path.mkdir()
            (path / "file").write_text("first")

    with pytest.raises(UserError, match="already holds something"):
        write()
    assert (path / "file").read_text() == "first"
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


def test_the_first_stands_also_if_it_comes_at_the_last_moment(tmp_path: Path) -> None:
    for name in ("partial", "path"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    _put_new(tmp_path / "partial", tmp_path / "path", first_stands=True)
    assert (tmp_path / "path" / "file").read_text() == "path"
    with pytest.raises(OSError, match="not empty"):
        _put_new(tmp_path / "partial", tmp_path / "path", first_stands=False)


def test_an_empty_folder_is_vacant_a_file_is_not(tmp_path: Path) -> None:
    check_vacant(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    check_vacant(tmp_path / "empty")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="new or empty"):
        check_vacant(tmp_path / "file")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    with small_disk_at(tmp_path / "disk", "64k") as disk:
        yield disk


def test_a_full_disk_is_one_clear_error_and_the_old_file_stays(tiny_disk: Path) -> None:
    write_json(tiny_disk / "a.json", {"old": 1})
    with pytest.raises(UserError, match="Free space"):
        write_json(tiny_disk / "a.json", {"new": "x" * 200_000})
    assert read_json(tiny_disk / "a.json") == {"old": 1}
    assert os.listdir(tiny_disk) == ["a.json"]


def test_errors_of_reading_are_not_taken_for_errors_of_writing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "a"):
        (tmp_path / "absent").read_text()


def test_json_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_json(tmp_path / "absent.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(UserError, match="does not parse"):
        read_json(tmp_path / "bad.json")
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "nan.json", float("nan"))
    assert not (tmp_path / "nan.json").exists()


def test_sha256_is_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_paths_of_a_renamed_folder_follow_it_and_nothing_else_does() -> None:
    content = {"/a/run": ["/a/run/x.ckpt", "/a/run2/x", 3, None, {"best": "/a/run"}], "name": "not /a/run"}
    assert renamed(content, "/a/run", "/b") == {
        "/b": ["/b/x.ckpt", "/a/run2/x", 3, None, {"best": "/b"}],
        "name": "not /a/run",
    }
