"""What mixing at ranking time costs: beside an evaluation without it, and as the corpus grows.

    python -m benchmarks.ranking_mixing                             the ratio at 10,000 x 10,000: minutes
    python -m benchmarks.ranking_mixing --sizes 1000 10000 100000   the growth
    python -m benchmarks.ranking_mixing --sizes 1000000 --searched 20000   of a corpus that would take hours

The ratio is of whole evaluations: encoding (the built-in MiniLM, titles of eight words), exact
ranks in both directions and all metrics, with the composition that `ranking/mixing=auto` offers at
its full strength against without. In the growth, 1,000 queries are ranked over made embeddings of
384 dimensions; `memory` is what the mixing holds at its highest beyond the embeddings, on a GPU
that of the GPU. With `--searched n` only the first `n` documents look for their neighbours, and the
seconds of this search, which are the same for each document, are multiplied.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hr_retrieval.markdown import markdown_table
from hr_retrieval.retrieval.metrics import per_query
from hr_retrieval.retrieval.mixing import Composition, Corpus, DocumentMixing, HubCorrection, QueryMixing, Side
from hr_retrieval.retrieval.mixing.corpus import nearest_allowed
from hr_retrieval.retrieval.ranking import exact_ranks
from hr_retrieval.retrieval.relevance import Relevance

_DIMENSION = 384
_MIXING = Composition(documents=DocumentMixing(), queries=QueryMixing(), hubs=HubCorrection())
_DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def main() -> None:
    """Print the ratio, or the growth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int)
    parser.add_argument("--searched", type=int, default=sys.maxsize)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(_growth(arguments.sizes[0], arguments.searched)))
    elif arguments.sizes:
        rows = [["documents", "mixing of the documents, s", "ranking with it, s", "without, s", "memory, MB"]]
        for size in arguments.sizes:
            command = [sys.executable, "-m", "benchmarks.ranking_mixing", "--one", "--sizes", str(size)]
            command += ["--searched", str(arguments.searched)]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            rows.append([f"{size:,}", *json.loads(output.splitlines()[-1])])
            print(*rows[-1], file=sys.stderr, flush=True)
        print(f"On {_device()}.\n\n{markdown_table(rows)}")
    else:
        print(_ratio(10_000, arguments.rounds))


def _ratio(size: int, rounds: int) -> str:
    """Seconds of both, and their ratio, the two in turns."""
    from hr_retrieval.encoder.builtin import BUILTIN
    from hr_retrieval.encoder.encoder import Encoder

    encoder = Encoder(BUILTIN).to(_DEVICE)
    generator = np.random.default_rng(0)
    words = np.array(["".join(generator.choice(list("abcdefghijklmnoprstuvy"), 5)) for _ in range(5_000)])
    queries, documents = ([" ".join(row) for row in words[generator.integers(0, 5_000, (size, 8))]] for _ in range(2))
    relevance = Relevance.from_lists([[row] for row in range(size)]).to(_DEVICE)
    taken: dict[str, list[float]] = {"encoding": [], "ranking": [], "ranking with mixing": []}
    for _ in range(rounds):
        seconds, embedded = _timed(lambda: (encoder.encode(queries, "query"), encoder.encode(documents, "document")))
        taken["encoding"].append(seconds)
        for name, mixing in (("ranking", Composition()), ("ranking with mixing", _MIXING)):
            taken[name].append(_timed(partial(_evaluated, mixing, embedded[0], embedded[1], relevance))[0])
    median = {name: float(np.median(values)) for name, values in taken.items()}
    without, with_it = (median["encoding"] + median[name] for name in ("ranking", "ranking with mixing"))
    rows = [["", "seconds"], *([name, f"{value:.2f}"] for name, value in median.items())]
    rows += [["an evaluation without", f"{without:.2f}"], ["with mixing", f"{with_it:.2f}"]]
    rows += [["ratio", f"{with_it / without:.2f}"]]
    return f"{size:,} x {size:,} on {_device()}, median of {rounds}.\n\n{markdown_table(rows)}"


def _evaluated(mixing: Composition, queries: Tensor, documents: Tensor, relevance: Relevance) -> None:
    mixed = mixing(Side(queries), Corpus(Side(documents))).ranking(relevance, 10)
    per_query(mixed.ranks.cpu(), relevance.to("cpu"))
    other = relevance.transpose(len(documents))
    per_query(exact_ranks(documents, queries, other).cpu(), other.to("cpu"))


class _Sampled(Corpus):
    """A corpus in which some documents look for their neighbours, and all others are given theirs."""

    searched: int
    seconds = 0.0

    def nearest(self, k: int) -> tuple[Tensor, Tensor]:
        count, some = len(self), min(self.searched, len(self))
        if not self._found:
            each = torch.arange(some + 1)
            search = partial(nearest_allowed, self.side.embeddings[:some], self._index, 32, Relevance(each, each[:-1]))
            self.seconds, (scores, rows) = _timed(search)
            like = torch.arange(count, device=rows.device) % some
            self._found["documents"] = scores[like], rows[like]
        scores, rows = self._found["documents"]
        return scores[:, :k], rows[:, :k]


def _growth(size: int, searched: int) -> list[str]:
    generator = torch.Generator(_DEVICE).manual_seed(0)
    documents = torch.empty(size, _DIMENSION, device=_DEVICE)
    for part in torch.split(documents, 100_000):
        part.copy_(F.normalize(torch.randn(part.shape, generator=generator, device=_DEVICE), dim=1))
    queries = documents[: min(1_000, size)].clone()
    relevance = Relevance.from_lists([[row] for row in range(len(queries))]).to(_DEVICE)
    held = _held()
    corpus = _Sampled(Side(documents))
    corpus.searched = searched
    mixing_seconds, mixed = _timed(lambda: _MIXING.mix_documents(corpus))
    mixing_seconds += corpus.seconds * (max(1, size / searched) - 1)

    def rank(with_queries: Tensor, over: Tensor) -> Tensor:
        return exact_ranks(with_queries, over, relevance)

    with_it = _timed(lambda: rank(_MIXING.mix_queries(Side(queries), _MIXING.searched(mixed, _DIMENSION)), mixed))[0]
    without = _timed(lambda: rank(queries, documents))[0]
    memory = _held() - held
    return [f"{mixing_seconds:.2f}", f"{with_it:.3f}", f"{without:.3f}", f"{memory:,.0f}"]


def _held() -> float:
    """MB at the highest so far."""
    if _DEVICE == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _timed(run: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.monotonic()
    result = run()
    if _DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.monotonic() - begun, result


def _device() -> str:
    return torch.cuda.get_device_name() if _DEVICE == "cuda" else f"{torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
