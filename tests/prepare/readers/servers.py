"""A web server and an object store of this machine, for as long as a test needs them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class Store(ThreadingHTTPServer):
    """Serves `files`, by their path, to HTTP and, as buckets, to S3.

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

    def _listed(self, bucket: str, query: dict[str, list[str]]) -> bytes:
        prefix, delimiter = (query.get(name, [""])[0] for name in ("prefix", "delimiter"))
        begin = bucket.rstrip("/") + "/"
        keys = [path.removeprefix(begin) for path in sorted(self.server.files) if path.startswith(begin + prefix)]
        folders = {
            prefix + key.removeprefix(prefix).split(delimiter)[0] + delimiter
            for key in keys
            if delimiter and delimiter in key.removeprefix(prefix)
        }
        inner = [key for key in keys if not any(key.startswith(folder) for folder in folders)]
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.server.files[begin + key])}</Size>"
            "<LastModified>2026-08-01T00:00:00.000Z</LastModified></Contents>"
            for key in inner
        )
        common = "".join(
            f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in sorted(folders)
        )
        return (
            f'<?xml version="1.0"?><ListBucketResult><KeyCount>{len(inner) + len(folders)}</KeyCount>'
            f"<IsTruncated>false</IsTruncated>{contents}{common}</ListBucketResult>"
        ).encode()
