"""An index of many documents by the commands that users run: time, memory, and what a search of it takes and finds.

    python -m benchmarks.index_growth [--documents 1000000] [--layers 1]

Documents are pairs of labels of the built-in ESCO data, about ten tokens each, with a city of ten.
The encoder is the first `--layers` of the built-in MiniLM: the index is as large and its vectors
are still those of texts, and it is made in a fraction of the time. `index` and `search` are
processes of their own; their memory is the most that the kernel says they held, mapped files
included. Recall is the share of the exactly best ten, which `search` finds out with `recall=true`.
An index that stands in `--folder` is searched alone.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

from benchmarks.train import esco_pairs
from hr_retrieval.encoder.builtin import BUILTIN
from hr_retrieval.encoder.folder import encoder_folder
from hr_retrieval.files import whole_file
from hr_retrieval.store.manifest import FILE, Manifest
from hr_retrieval.store.searcher import Asked, Searcher

CITIES, QUERIES = 10, 200


def main() -> None:
    """Print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("outputs/index_growth"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    encoder, corpus, index = (options.folder / name for name in ("encoder", "documents.jsonl", "index"))
    write_encoder(encoder, options.layers)
    titles = write_documents(corpus, options.documents)
    if not (index / FILE).is_file() or Manifest.read(index).table is None:
        _printed, seconds, peak = _run("index", f"encoder={encoder}", f"corpus={corpus}", f"output={index}")
        print(f"index {options.documents:,} documents: {seconds:.0f} s, {peak:,.0f} MB at the highest", flush=True)
    print(f"disk: {sum(file.stat().st_size for file in index.rglob('*') if file.is_file()) / 1e6:,.0f} MB")
    printed, seconds, peak = _run("search", f"index={index}", f"query={titles[0]}", "output=json", "recall=true")
    print(
        f"a search by the command, recall counted: {seconds:.1f} s, {peak:,.0f} MB, recall {json.loads(printed)['recall']}"
    )
    _printed, seconds, peak = _run("search", f"index={index}", f"query={titles[1]}", "output=json")
    print(f"a search by the command: {seconds:.1f} s, {peak:,.0f} MB", flush=True)
    searcher = Searcher(index)
    for what, asked in (("", Asked()), (" within one city in ten", Asked(filters={"city": "city 3"}))):
        print(f"searches in one process{what}: {_searched(searcher, titles[:QUERIES], asked)}", flush=True)


def write_encoder(folder: Path, layers: int) -> None:
    """The built-in encoder, or the first of its layers."""
    if folder.exists():
        return
    with encoder_folder(BUILTIN) as source:
        model = SentenceTransformer(str(source), device="cpu")
    own = model[0].auto_model
    own.encoder.layer = own.encoder.layer[:layers]
    own.config.num_hidden_layers = len(own.encoder.layer)
    model.save(str(folder), create_model_card=False)


def write_documents(path: Path, count: int) -> list[str]:
    """So many different documents as JSON lines; gives the titles that they are made of."""
    titles = list(dict.fromkeys(" ".join(labels.split()[:4]) for labels, _ in esco_pairs(None)))
    most = len(titles)
    if not path.exists():
        with whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
            for number in range(count):
                other = titles[(number * 7919 + number // most) % most]
                row: dict[str, Any] = {"id": str(number), "text": f"{titles[number % most]}, {other}"}
                file.write(json.dumps(row | {"city": f"city {number % CITIES}"}) + "\n")
    return titles


def _run(command: str, *arguments: str) -> tuple[str, float, float]:
    """What a command of ours prints, seconds, and MB at its highest."""
    begin = time.perf_counter()
    whole = [sys.executable, "-m", f"hr_retrieval.{command}", *arguments]
    with subprocess.Popen(whole, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"hr_retrieval.{command} ended with {process.returncode}")
    return printed, time.perf_counter() - begin, usage.ru_maxrss / 1024


def _searched(searcher: Searcher, queries: Sequence[str], asked: Asked) -> str:
    times = []
    for query in queries:
        begin = time.perf_counter()
        searcher.search([query], asked)
        times.append(time.perf_counter() - begin)
    p50, p95 = np.percentile(np.array(times[10:]) * 1e3, (50, 95))
    recall = searcher.recall(queries[:50], asked)
    return (
        f"p50 {p50:.0f} ms, p95 {p95:.0f} ms, encoding included; recall@10 {recall:.4f}; load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
