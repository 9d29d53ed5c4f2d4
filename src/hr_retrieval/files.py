"""Files and folders that are written whole or not at all."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hr_retrieval.errors import UserError

# What a full disk, a read-only or lost mount, a folder of somebody else's, or a file in a folder's
# place says.
_WRITE_FAILURES = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENOTEMPTY,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EFBIG,
    errno.ENODEV,
}


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and renamed over `path`, else removed.

    Raises:
        UserError: the disk is full, or the folder cannot be written to. What stood at `path` is
            left as it was.
    """
    with readable_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        os.close(descriptor)
        partial = Path(name)
        try:
            yield partial
            _flush(partial)
            # mkstemp makes files private to the user; outputs follow the umask like any other file.
            partial.chmod(0o666 & ~_umask())
            partial.replace(path)
            _flush(path.parent)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, replace: bool = False, first_stands: bool = False) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; on success it becomes `path`, else it is removed.

    Args:
        replace: whether an existing `path` may be replaced.
        first_stands: for what every process would write alike: if another one has put its `path`
            there meanwhile, that is left, since it may be in use, and what was written here is
            removed.

    Raises:
        UserError: `path` holds something and `replace` is false, or the place cannot be written to.
    """
    if not replace:
        check_vacant(path)
    before = _identity(path)
    with readable_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
        try:
            yield partial
            umask = _umask()
            for file in sorted(partial.rglob("*")):
                # Some libraries make files private to the user, as mkdtemp does: outputs follow the
                # umask.
                file.chmod((0o777 if file.is_dir() else 0o666) & ~umask)
                _flush(file)
            partial.chmod(0o777 & ~umask)
            if first_stands and _identity(path) != before:
                return
            if not (replace or first_stands):
                # Another process may have been faster.
                check_vacant(path)
            if path.exists():
                # A folder cannot be renamed over a full one: the old one steps aside first, so that
                # one of both is always there.
                aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
                path.replace(aside / path.name)
                partial.replace(path)
                shutil.rmtree(aside)
            else:
                _put_new(partial, path, first_stands)
            _flush(path.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _identity(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


def _put_new(partial: Path, path: Path, first_stands: bool) -> None:
    try:
        partial.replace(path)
    except OSError as error:
        # Within the moment since it was looked for.
        if not (first_stands and error.errno in (errno.ENOTEMPTY, errno.EEXIST)):
            raise


def check_vacant(path: Path) -> None:
    """Raise `UserError` if `path` is a file or a folder that already holds something."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(
            "an output folder that is new or empty",
            f"{path}, which already holds something",
            "Name another folder, or remove this one first.",
        )


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented UTF-8 JSON, whole or not at all. NaN is refused: it is not JSON."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read UTF-8 JSON.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"the file {path}", "no such file", "Check the path and the command that should write it."
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"JSON in {path}", f"text that does not parse ({error})", "Write the file anew.") from None


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def renamed(content: Any, before: str, now: str) -> Any:
    """Plain content in which each path of the folder `before`, keys too, reads as one of the folder `now`."""
    if isinstance(content, dict):
        return {renamed(key, before, now): renamed(value, before, now) for key, value in content.items()}
    if isinstance(content, list):
        return [renamed(value, before, now) for value in content]
    if isinstance(content, str) and (content == before or content.startswith(before + os.sep)):
        return now + content.removeprefix(before)
    return content


@contextmanager
def readable_write_errors(path: Path) -> Iterator[None]:
    """Turn what writing at `path` fails with, where a user can mend it, into a `UserError`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _WRITE_FAILURES:
            raise
        raise UserError(
            f"to write {path}",
            f"{type(error).__name__}: {error}",
            "Free space or choose a folder that can be written to.",
        ) from error


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
