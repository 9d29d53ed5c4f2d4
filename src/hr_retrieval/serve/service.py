"""The service from start to end: the port, the index, the application, and the way out."""

import errno
import os
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import uvicorn

from hr_retrieval.errors import UserError
from hr_retrieval.serve.app import application
from hr_retrieval.serve.guards import Guards
from hr_retrieval.store.manifest import Manifest
from hr_retrieval.store.searcher import Searcher

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Settings:
    """What `serve` is told; `config.search_schema.ServeConfig` says what each is."""

    index: str
    encoder: str | None
    rerank: str | None
    host: str
    port: int
    token: str | None
    upload_mb: float
    upload_pages: int
    timeout_s: float
    rate: int | None
    batch: int
    drain_s: int

    def guards(self) -> Guards:
        """What each request is held against.

        Raises:
            UserError: a limit is below its least value, or the variable of the token is empty.
        """
        for name, value in (
            ("upload_mb", self.upload_mb),
            ("upload_pages", self.upload_pages),
            ("timeout_s", self.timeout_s),
            ("rate", 1 if self.rate is None else self.rate),
            ("batch", self.batch),
            ("drain_s", self.drain_s),
        ):
            if value <= 0:
                raise UserError(f"{name} above 0", str(value), f"Set {name} to 1 or more.")
        token = os.environ.get(self.token, "") if self.token else None
        if token is not None and len(token) < 16:
            raise UserError(
                f"a token of at least 16 letters in the environment variable {self.token}",
                f"{len(token)} letters",
                f"Set it: export {self.token}=$(openssl rand -hex 16)",
            )
        hosts = None if self.host not in _LOOPBACK else (*_LOOPBACK, "[::1]", "testserver")
        return Guards(token, int(self.upload_mb * 2**20), self.timeout_s, self.rate, hosts)


def serve(settings: Settings) -> None:
    """Answer requests until SIGTERM or Ctrl-C; requests that run then are answered first.

    Raises:
        UserError: the port is taken, the index is none or of another encoder, or a setting is
            wrong.
    """
    guards = settings.guards()
    folder = Path(settings.index)
    Manifest.read(folder)
    listening = _listening(settings.host, settings.port)
    try:
        searcher = Searcher(folder, settings.encoder, settings.rerank)
        app = application(searcher, guards, settings.upload_pages, settings.batch)
        signal.signal(signal.SIGTERM, _end)
        host, port = listening.getsockname()[:2]
        print(
            f"{searcher.manifest.documents:,} documents: http://{f'[{host}]' if ':' in host else host}:{port}/",
            flush=True,
        )
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=settings.drain_s,
            timeout_keep_alive=30,
            h11_max_incomplete_event_size=1 << 15,
        )
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        listening.close()


def _listening(host: str, port: int) -> socket.socket:
    """The port, taken before the index is opened, which may take seconds."""
    if not 0 <= port <= 65535:
        raise UserError("a port from 0 (any free one) to 65535", str(port), "Name another port=.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        taken = error.errno == errno.EADDRINUSE
        raise UserError(
            f"a free port {port} on {host}" if taken else "an address of this machine and a port it may use",
            "one in use" if taken else f"{host}:{port} ({error.strerror or error})",
            "End what uses it, or name another one, port=8001; port=0 takes any free one."
            if taken
            else "Name another host= or port=.",
        ) from None
    listening.listen(512)
    return listening


def _end(number: int, frame: object) -> NoReturn:
    """What SIGTERM does before the service runs, and behind its end."""
    sys.exit(0)
