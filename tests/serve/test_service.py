"""The service as a process: start, port, drain."""

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.graph import write_graph
from hr_retrieval.errors import UserError
from hr_retrieval.index import indexing
from hr_retrieval.index.corpus import Columns, Corpus
from hr_retrieval.retrieval.mixing import Composition
from hr_retrieval.serve.service import Settings, serve
from tests.serve.test_app import ROWS


@pytest.fixture
def index(tmp_path: Path) -> Path:
    (tmp_path / "v.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    indexing.make(tmp_path / "index", "tiny", Corpus(str(tmp_path / "v.jsonl"), Columns()), mixing=Composition())
    return tmp_path / "index"


def settings(index: Path, **options: Any) -> Settings:
    usual: dict[str, Any] = {
        "encoder": None, "rerank": None, "host": "127.0.0.1", "port": 0, "token": None, "upload_mb": 1.0, "upload_pages": 3,
        "timeout_s": 60.0, "rate": None, "batch": 8, "drain_s": 30,
    }  # fmt: skip
    return Settings(index=str(index), **{**usual, **options})


def test_what_cannot_be_served_is_one_error(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match="got one in use"):
            serve(settings(index, port=taken.getsockname()[1]))
    monkeypatch.setenv("SHORT", "abc")
    for wrong, said in (
        ({"host": "203.0.113.7"}, "an address of this machine"),
        ({"port": 70_000}, "a port from 0"),
        ({"token": "SHORT"}, "at least 16 letters"),
        ({"token": "NOT_SET"}, "at least 16 letters"),
        ({"batch": 0}, "batch above 0"),
    ):
        with pytest.raises(UserError, match=said):
            serve(settings(index, **wrong))
    with pytest.raises(UserError, match="an index folder with"):
        serve(settings(index / "nowhere"))


# With a graph in the place of the encoder, none of these is needed to answer.
SLOW = (
    "{'transformers', 'sentence_transformers', 'pytorch_lightning', 'sklearn', 'pandas', 'lancedb', 'lance_namespace'}"
)


def test_it_drains_when_it_is_told_to_end_and_has_loaded_only_what_it_needs(index: Path) -> None:
    (index.parent / "graph").mkdir()
    write_graph(Encoder("tiny").eval(), index.parent / "graph")
    # Each answer takes a while, so that one is on its way when the signal comes.
    program = (
        "import time; from pathlib import Path; from hr_retrieval.store.searcher import Searcher; own = Searcher.search_each\n"
        "def slow(self, asked): Path('begun').touch(); time.sleep(2); return own(self, asked)\n"
        "Searcher.search_each = slow; import sys; sys.argv = ['serve', 'index=index', 'encoder=graph', 'port=0']\n"
        f"import atexit; atexit.register(lambda: print('loaded', {SLOW} & set(sys.modules)))\n"
        "from hr_retrieval.serve.__main__ import main; main()"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=index.parent, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = next(line for line in iter(process.stdout.readline, "") if "http://" in line).split()[-1]
    sender = f"""
import json, urllib.request
request = urllib.request.Request({address!r} + "search", json.dumps({{"query": "nurse"}}).encode(), {{"Content-Type": "application/json"}})
print(len(json.load(urllib.request.urlopen(request))["hits"]))
"""
    asking = subprocess.Popen([sys.executable, "-c", sender], stdout=subprocess.PIPE, text=True)
    limit = time.monotonic() + 60
    while time.monotonic() < limit and not (index.parent / "begun").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert asking.communicate(timeout=120)[0] == "10\n"
    # Reads and closes what it still says.
    assert process.communicate(timeout=120)[0].endswith("loaded set()\n")
    assert process.returncode == 0
