"""What a person waits for: an answer over 10,000 documents, the start of the service, the index itself.

    python -m benchmarks.serving data/prepared/esco            about eight minutes on two cores
    python -m benchmarks.serving data/prepared/esco --quick    1,000 documents, 10 seconds of load

The documents are those of a prepared data set, repeated with numbers where there are fewer;
the encoder is MiniLM. The encoder's own time is measured in the same process on the passages that are
indexed (a long document has several, where `encode` reads its beginning), on half of them before the
index is made and on half behind it. The service is measured with the encoder
and with its graph.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle, islice
from pathlib import Path

# Before the clock runs, as torch.
import lancedb  # noqa: F401
import numpy as np

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.graph import write_graph
from hr_retrieval.encoder.parts import whole_passages
from hr_retrieval.index.corpus import Columns, Corpus
from hr_retrieval.index.indexing import make
from hr_retrieval.retrieval.mixing import Composition
from hr_retrieval.store.searcher import Asked, Searcher
from hr_retrieval.time.texts import Texts

_ENCODER = "builtin:all-MiniLM-L6-v2"
_RATE = 40


def main(data: Path, quick: bool) -> None:
    """Print a line for each figure."""
    count, load = (1_000, 10) if quick else (10_000, 60)
    texts = [f"{number} {text}" for number, text in enumerate(islice(cycle(Texts.of(data, count).documents), count))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = "".join(json.dumps({"id": str(number), "text": text}) + "\n" for number, text in enumerate(texts))
        (folder / "v.jsonl").write_text(rows)
        encoder = Encoder(_ENCODER).eval()
        spans, _ = whole_passages(encoder, texts, "document", overlap=32)
        passages = [text[begin:end] for text, own in zip(texts, spans, strict=True) for begin, end in own]
        own = _encoded_in(encoder, passages[::2])
        start = time.perf_counter()
        make(folder / "index", _ENCODER, Corpus(str(folder / "v.jsonl"), Columns()), mixing=Composition())
        whole = time.perf_counter() - start
        own += _encoded_in(encoder, passages[1::2])
        print(
            f"index {count:,} documents in {len(passages):,} passages: {whole:.1f} s, "
            f"{whole / own:.2f} of the encoder's own {own:.1f} s",
            flush=True,
        )
        (folder / "graph").mkdir()
        write_graph(encoder, folder / "graph")
        queries = [" ".join(text.split()[1:5]) for text in texts[:500]]
        for named in (None, str(folder / "graph")):
            print("by its graph" if named else "by the encoder")
            searcher = Searcher(folder / "index", named)
            embed, search = searcher.embed, partial(searcher.search, asked=Asked())
            for what, call in (("embedding a query", embed), ("search, in the process", search)):
                _report(what, [_timed(partial(call, [query])) for query in queries])
            _serve(folder / "index", named, queries, load)
    command = [sys.executable, "-m", "hr_retrieval.serve", "--help"]
    print(f"--help: {_timed(lambda: subprocess.run(command, check=True, capture_output=True)):.2f} s")


def _encoded_in(encoder: Encoder, texts: list[str]) -> float:
    encoder.encode(texts[:64], "document")
    return _timed(lambda: encoder.encode(texts, "document"))


def _serve(index: Path, encoder: str | None, queries: list[str], load: int) -> None:
    start = time.perf_counter()
    command = [sys.executable, "-m", "hr_retrieval.serve", f"index={index}", "port=0", "rate=null"]
    command += [f"encoder={encoder}"] if encoder else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        address = next(line for line in service.stdout if "http://" in line).split()[-1]
        print(f"start of the service: {time.perf_counter() - start:.1f} s", flush=True)

        def ask(query: str) -> float:
            body = json.dumps({"query": query}).encode()
            request = urllib.request.Request(f"{address}search", body, {"Content-Type": "application/json"})
            return _timed(lambda: urllib.request.urlopen(request, timeout=30).read())

        _report("search over HTTP, one at a time", [ask(query) for query in queries[:200]])
        with ThreadPoolExecutor(64) as pool:
            begun, waiting = time.perf_counter(), []
            for number in range(load * _RATE):
                time.sleep(max(0.0, begun + number / _RATE - time.perf_counter()))
                waiting.append(pool.submit(ask, queries[number % len(queries)]))
            times = [one.result() for one in waiting if one.exception() is None]
        failed = load * _RATE - len(times)
        _report(f"{_RATE} queries a second for {load} s, {failed} failed", times)
        service.terminate()


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _report(what: str, times: list[float]) -> None:
    p50, p95 = np.percentile(np.array(times) * 1e3, (50, 95))
    print(f"{what}: p50 {p50:.1f} ms, p95 {p95:.1f} ms; load of the machine {os.getloadavg()[0]:.1f}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--quick" in sys.argv[2:])
