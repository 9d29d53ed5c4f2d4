"""A file of a web server or an object store, read as a stream: `https://`, `s3://` and `gs://`."""

import hashlib
import io
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hr_retrieval.errors import UserError, said

_WEB, _STORES = ("http", "https"), ("s3", "gs")
# Seconds for a connection, and between two blocks of an answer.
_CONNECT, _SILENCE = 10, 60
_BLOCK = 1 << 20
# Where Google's own libraries look for a server that stands in for it.
_EMULATOR = ("STORAGE_EMULATOR_HOST",)
_TOKEN = "HR_RETRIEVAL_HTTP_TOKEN"
_SECRET = re.compile(r"key|secret|token|sig|password|credential|auth", re.IGNORECASE)


@dataclass(frozen=True, order=True)
class RemoteFile:
    """A file by its URL. Whoever reads it needs no place for all of it.

    Credentials come from the environment: the variables of AWS (`AWS_ENDPOINT_URL` among them) and
    of Google (`STORAGE_EMULATOR_HOST` among them), and `HR_RETRIEVAL_HTTP_TOKEN`, which is sent over
    https only, as a bearer's.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def path(self) -> PurePosixPath:
        """Where it lies on its server."""
        return PurePosixPath(unquote(urlsplit(self.url).path))

    @property
    def suffix(self) -> str:
        """The end of its name."""
        return self.path.suffix

    @property
    def parent(self) -> PurePosixPath:
        """The folder that it lies in."""
        return self.path.parent

    def open(self, mode: str = "rb") -> io.BufferedReader:
        """Its bytes; those of a web server come in one answer, so in their order and as of one moment."""
        system, place = _system(self.url)
        with _one_kind_of_error():
            data = system.open(place, mode, block_size=0)
        return io.BufferedReader(_Stream(data, urlsplit(self.url).scheme in _STORES), _BLOCK)

    def read_bytes(self) -> bytes:
        """All of it."""
        with self.open() as data:
            return data.read()

    def stamp(self) -> list[Any]:
        """Size, and what changes with the content: the server's mark or time; the SHA-256 where it has none."""
        system, place = _system(self.url)
        with _one_kind_of_error():
            info = system.info(place)
        mark = next((info[key] for key in ("ETag", "Content-MD5", "Last-Modified", "mtime") if info.get(key)), None)
        return [info.get("size"), self._digest() if mark is None else str(mark)]

    def _digest(self) -> str:
        digest = hashlib.sha256()
        with self.open() as data:
            while block := data.read(_BLOCK):
                digest.update(block)
        return digest.hexdigest()


def is_url(name: object) -> bool:
    """Whether a path begins as a URL does."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", str(name)) is not None


def remote_files(url: str) -> list[RemoteFile]:
    """The file at a URL; of an object store also what is under a folder or fits a glob pattern, in sorted order.

    Raises:
        UserError: the URL is of another kind or holds a secret, or names no file.
    """
    check_url(url)
    system, place = _system(url)
    try:
        with _one_kind_of_error():
            if urlsplit(url).scheme in _WEB:
                system.info(place)
                return [RemoteFile(url)]
            files = _listed(system.fs, place)
    except OSError as error:
        remedy = "Check data.reader.path, the network and the credentials in the environment."
        raise UserError(f"a file at {url}", said(error), remedy) from None
    kept = [file for file in files if not PurePosixPath(file).name.startswith((".", "_"))]
    if not kept:
        raise UserError(f"a file at {url}", "nothing there", "Check data.reader.path.")
    return [RemoteFile(f"{urlsplit(url).scheme}://{file.lstrip('/')}") for file in kept]


def _listed(store: Any, place: str) -> list[str]:
    """The files at, under or fitting a place of an object store; its errors are raised, where fsspec lists nothing."""
    from fsspec.utils import glob_translate
    from pyarrow.fs import FileSelector

    magic = re.search(r"[*?\[]", place)
    folder = place[: magic.start()].rpartition("/")[0] if magic else place.rstrip("/")
    (own,) = store.get_file_info([folder])
    if own.is_file:
        return [folder]
    fits = re.compile(glob_translate(place)) if magic else None
    infos = store.get_file_info(FileSelector(folder, allow_not_found=True, recursive=True))
    files = sorted(info.path for info in infos if info.is_file)
    if fits is None:
        return files
    return [file for file in files if any(fits.match(str(path)) for path in (file, *PurePosixPath(file).parents))]


def check_url(url: str) -> None:
    """Raise `UserError` unless the URL is of a known kind and without secrets, which it would carry into logs."""
    parts = urlsplit(url)
    if parts.scheme not in (*_WEB, *_STORES):
        known = ", ".join(f"{scheme}://" for scheme in (*_WEB, *_STORES))
        raise UserError(f"a path, or a URL of {known}", f"one of {parts.scheme}://", "Copy the file to one of these.")
    if "@" in parts.netloc or any(map(_SECRET.search, parse_qs(parts.query, keep_blank_values=True))):
        raise UserError(
            "a URL in data.reader.path without a password, key or signature",
            "one with it",
            f"It would stand in config.yaml and logs: put it into the environment ({_TOKEN}, or AWS's and Google's own variables).",
        )


@contextmanager
def seekable(file: Path | RemoteFile) -> Iterator[io.BufferedIOBase]:
    """The bytes of a file in any order; what comes as a stream is put on disk for as long."""
    with file.open("rb") as data:
        if data.seekable():
            yield data
            return
        with tempfile.TemporaryFile() as copy:
            while block := data.read(_BLOCK):
                copy.write(block)
            copy.seek(0)
            yield copy


def _system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and what the file is called there."""
    parts = urlsplit(url)
    if parts.scheme in _WEB:
        trusted = parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1")
        return _web(os.environ.get(_TOKEN) if trusted else None), url
    return _store(parts.scheme), f"{parts.netloc}{unquote(parts.path)}"


@cache
def _web(token: str | None) -> Any:
    import fsspec
    from aiohttp import ClientTimeout

    options: dict[str, Any] = {"timeout": ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=_SILENCE)}
    if token is not None:
        options["headers"] = {"Authorization": f"Bearer {token}"}
    return fsspec.filesystem("http", client_kwargs=options, skip_instance_cache=True)


def _store(scheme: str) -> Any:
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow import fs as arrow

    names = _EMULATOR if scheme == "gs" else ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    endpoint = next((os.environ[name] for name in names if name in os.environ), None)
    parts = None if endpoint is None else urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
    own: dict[str, Any] = {} if parts is None else {"endpoint_override": parts.netloc, "scheme": parts.scheme}
    if scheme == "gs":
        # What stands in for Google knows nobody.
        own |= {"anonymous": True} if own else {}
        return ArrowFSWrapper(
            arrow.GcsFileSystem(retry_time_limit=timedelta(seconds=_SILENCE), **own), skip_instance_cache=True
        )
    region = os.environ.get("AWS_REGION", os.environ.get("AWS_DEFAULT_REGION"))
    return ArrowFSWrapper(
        arrow.S3FileSystem(region=region, connect_timeout=_CONNECT, request_timeout=_SILENCE, **own),
        skip_instance_cache=True,
    )


@contextmanager
def _one_kind_of_error() -> Iterator[None]:
    """Let what web servers answer be an `OSError`, as the system's own errors are; a URL's query is in none."""
    from aiohttp import ClientError

    try:
        yield
    except (ClientError, FileNotFoundError) as error:
        # fsspec calls whatever kept it from a file's size a missing file.
        cause = error.__cause__ or error
        status = getattr(cause, "status", None)
        if status == 404 or isinstance(cause, FileNotFoundError):
            raise FileNotFoundError("no such file") from None
        raise OSError(f"the server answers {status}" if status else said(cause)) from None


class _Stream(io.RawIOBase):
    """A stream of fsspec whose errors are of one kind, and that says whether it can seek."""

    def __init__(self, data: Any, seekable: bool) -> None:
        self._data, self._seekable = data, seekable

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._seekable

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._data.seek(offset, whence))

    def tell(self) -> int:
        return int(self._data.tell())

    def readinto(self, buffer: Any) -> int:
        with _one_kind_of_error():
            block = self._data.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        if not self.closed:
            self._data.close()
        super().close()
