"""A web server and an object store of this machine, for as long as a test needs them."""

import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_GOOGLE = "/storage/v1/b/"


class Store(ThreadingHTTPServer):
    """Serves `files`, by their path, to HTTP and, as buckets, to S3 and to Google's JSON API.

    Attributes:
        files: content by path; a test may change it.
        marked: whether answers have an ETag and a time.
        status: of every answer, where one is set.
        asked: the Authorization header of each request.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.marked, self.status = True, 0
        self.asked: list[str | None] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def store() -> Iterator[Store]:
    server = Store()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def store_apart(files: dict[str, bytes], status: int = 0) -> Iterator[str]:
    """The address of a store in a process of its own, for clients that hold the interpreter while they wait."""
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(pickle.dumps((files, status)))
        process.stdin.close()
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


class _Handler(BaseHTTPRequestHandler):
    server: Store

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(False)

    def do_GET(self) -> None:
        self._answer(True)

    def _answer(self, body: bool) -> None:
        self.server.asked.append(self.headers.get("Authorization"))
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        path = unquote(parts.path)
        google = parts.path.removeprefix(_GOOGLE) if parts.path.startswith(_GOOGLE) else None
        if google is not None:
            bucket, _, name = (unquote(part) for part in google.partition("/o"))
            path = f"/{bucket}{name}"
            content = self._told(path, query)
        else:
            content = self._listed(path, query) if "list-type" in query else self.server.files.get(path)
        status = self.server.status or (404 if content is None else 200)
        content = content if content is not None and status == 200 else b""
        whole = len(content)
        span = self.headers.get("Range")
        if span and status == 200:
            first, last = span.removeprefix("bytes=").split("-")
            content = content[int(first) : int(last) + 1 if last else None]
            status = 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(content) - 1}/{whole}")
        if self.server.marked:
            self.send_header("ETag", f'"{hash(self.server.files.get(path)):x}"')
            self.send_header("Last-Modified", "Sat, 01 Aug 2026 00:00:00 GMT")
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _told(self, path: str, query: dict[str, list[str]]) -> bytes | None:
        """What Google's JSON API says of a bucket or an object; or the object."""
        if path.count("/") > 1:
            there = path in self.server.files
            if query.get("alt") == ["media"] or not there:
                return self.server.files.get(path)
            return json.dumps(self._object(path)).encode()
        keys, folders = self._below(path, query)
        said = {
            "kind": "storage#objects",
            "items": [self._object(f"{path}/{key}") for key in keys],
            "prefixes": folders,
        }
        return json.dumps(said).encode()

    def _object(self, path: str) -> dict[str, str]:
        _, bucket, name = path.split("/", 2)
        own = (
            {"etag": f"{hash(self.server.files[path]):x}", "updated": "2026-08-01T00:00:00Z"}
            if self.server.marked
            else {}
        )
        size = str(len(self.server.files[path]))
        return own | {"kind": "storage#object", "bucket": bucket, "name": name, "size": size, "generation": "1"}

    def _listed(self, bucket: str, query: dict[str, list[str]]) -> bytes:
        begin = bucket.rstrip("/") + "/"
        inner, folders = self._below(bucket, query)
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.server.files[begin + key])}</Size>"
            "<LastModified>2026-08-01T00:00:00.000Z</LastModified></Contents>"
            for key in inner
        )
        common = "".join(f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in folders)
        return (
            f'<?xml version="1.0"?><ListBucketResult><KeyCount>{len(inner) + len(folders)}</KeyCount>'
            f"<IsTruncated>false</IsTruncated>{contents}{common}</ListBucketResult>"
        ).encode()

    def _below(self, bucket: str, query: dict[str, list[str]]) -> tuple[list[str], list[str]]:
        """The keys of a bucket under a prefix, and those up to a delimiter as folders."""
        prefix, delimiter = (query.get(name, [""])[0] for name in ("prefix", "delimiter"))
        begin = bucket.rstrip("/") + "/"
        keys = [path.removeprefix(begin) for path in sorted(self.server.files) if path.startswith(begin + prefix)]
        folders = {
            prefix + key.removeprefix(prefix).split(delimiter)[0] + delimiter
            for key in keys
            if delimiter and delimiter in key.removeprefix(prefix)
        }
        return [key for key in keys if not any(key.startswith(folder) for folder in folders)], sorted(folders)


if __name__ == "__main__":
    apart = Store()
    apart.files, apart.status = pickle.load(sys.stdin.buffer)
    print(apart.server_port, flush=True)
    apart.serve_forever()
