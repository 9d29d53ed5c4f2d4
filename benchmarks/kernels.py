"""What each way of computing on a CPU saves: a training step and an encoding without it, in turn with all.

    python -m benchmarks.kernels            ten minutes on two cores

MiniLM; 32 pairs a step of short texts (8 tokens) or long ones (128), and 512 such texts encoded.
`share` is how much longer it takes without: below .05 a way is not worth its lines. What needs
native bfloat16 is measured where the processor has it, and left out elsewhere.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from unittest.mock import patch

import torch

from benchmarks.interleave import interleave
from hr_retrieval.encoder.builtin import BUILTIN
from hr_retrieval.encoder.cpu.rounding import native_bfloat16
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.markdown import markdown_table
from hr_retrieval.objective.similarity import cosine
from hr_retrieval.objective.triplet import TripletLoss

PAIRS, ENCODED, ROUNDS = 32, 512, 5
Off = Callable[[], AbstractContextManager[object]]

TRAINING: dict[str, Off] = {
    "a graph for each thread": lambda: patch.object(Encoder, "_dealt", lambda self, lengths: [])
}
ENCODING: dict[str, Off] = {"a thread for each part": lambda: patch.object(Encoder, "_threads", lambda self: 1)}
# With native bfloat16 only.
TILES: dict[str, Off] = {
    "tiles": lambda: patch("hr_retrieval.encoder.token_vectors.native_bfloat16", lambda: False),
}
LAID_OUT: dict[str, Off] = {
    "weights laid out once": lambda: patch("hr_retrieval.encoder.encoder.native_bfloat16", lambda: False),
}


def main() -> None:
    """Print the table."""
    native = native_bfloat16()
    print(f"{torch.get_num_threads()} threads, native bfloat16: {native}")
    rows = [["texts", "what", "without", "share"]]
    for length in (8, 128):
        texts = {name: _texts(count, length) for name, count in (("step", 2 * PAIRS), ("encoding", ENCODED))}
        whole, padded, wide = Encoder(BUILTIN), Encoder(BUILTIN, packing=False), _widened() if native else None
        ways = {"step": {**TRAINING, **(TILES if native else {})}}
        ways["encoding"] = {**ENCODING, **(TILES | LAID_OUT if native else {})}
        for what, call in (("step", _step), ("encoding", _encode)):
            rivals = {"all": partial(_within, nullcontext, call, whole, texts[what])}
            rivals |= {name: partial(_within, off, call, whole, texts[what]) for name, off in ways[what].items()}
            rivals["no padding"] = partial(_within, nullcontext, call, padded, texts[what])
            if wide is not None:
                rivals["layers that pass on bfloat16"] = partial(_within, nullcontext, call, wide, texts[what])
            rivals["all of them"] = partial(_within, partial(_all_off, ways[what]), call, padded, texts[what])
            times = interleave(rivals, ROUNDS)
            with_all = times.pop("all").median
            for name, timing in times.items():
                rows.append([f"{length} tokens", what, name, f"{timing.median / with_all - 1:+.2f}"])
                print(*rows[-1], flush=True)
    print(markdown_table(rows))


def _texts(count: int, length: int) -> list[str]:
    """Texts whose lengths in tokens spread by a half around the given one; each word is a token."""
    generator = random.Random(0)
    words = [
        "cook",
        "nurse",
        "driver",
        "teacher",
        "pilot",
        "judge",
        "works",
        "with",
        "tools",
        "at",
        "home",
        "for",
        "people",
    ]
    lengths = [generator.randint(length // 2, min(126, length * 3 // 2)) - 2 for _ in range(count)]
    return [" ".join(generator.choices(words, k=own)) for own in lengths]


def _widened() -> Encoder:
    with patch("hr_retrieval.encoder.reader.round_embeddings", lambda transformer: None):
        return Encoder(BUILTIN)


def _within(off: Off, call: Callable[[Encoder, list[str]], None], encoder: Encoder, texts: list[str]) -> None:
    with off():
        call(encoder, texts)


@contextmanager
def _all_off(ways: dict[str, Off]) -> Iterator[None]:
    with ExitStack() as stack:
        for off in ways.values():
            stack.enter_context(off())
        yield


def _step(encoder: Encoder, texts: list[str]) -> None:
    """Forward and backward; the optimizer's part is the same in all."""
    encoder.train().zero_grad()
    tokens, _ = encoder.tokenise(texts, "document")
    with torch.autocast("cpu", torch.bfloat16, enabled=native_bfloat16()):
        embeddings = encoder(tokens)
    scores = cosine(embeddings[:PAIRS], embeddings[PAIRS:])
    TripletLoss()(scores, torch.eye(PAIRS, dtype=torch.bool)).loss.backward()


def _encode(encoder: Encoder, texts: list[str]) -> None:
    encoder.encode(texts, "document", precision="bf16" if native_bfloat16() else "float32")


if __name__ == "__main__":
    main()
