"""Encoding speed against sentence-transformers, with the built-in MiniLM on texts of mixed length.

    python -m benchmarks.encode [number of texts, 10000 unless told]

Ours is `Encoder.encode(precision="bf16")` against the peer's defaults (float32), against the peer
with its weights in bf16, and against itself with threads that share each operation, 4,096 tokens at
a time, in place of a thread for each part. Before anything is timed, vectors in bf16 are compared
with the peer's float32 ones: our worst cosine must be above 0.9999.
"""

import random
import sys
from typing import Any
from unittest.mock import patch

import torch
from sentence_transformers import SentenceTransformer

from benchmarks.interleave import comparison, interleave, table
from hr_retrieval.encoder.builtin import BUILTIN
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.folder import encoder_folder


def run(quick: bool, count: int | None = None) -> list[dict[str, Any]]:
    """Rows `encode` (the peer's defaults), `encode_bf16` (the peer in bf16) and `encode_threads`
    (ours without a thread for each part).
    """
    encoder = Encoder(BUILTIN)
    with encoder_folder(BUILTIN) as folder:
        peer = SentenceTransformer(str(folder), device="cpu")
        rounded = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.bfloat16})
    texts = mixed_texts(peer, count or (2_000 if quick else 10_000))
    expected = torch.as_tensor(peer.encode(texts, convert_to_tensor=True))
    worst = _worst_cosine(encoder.encode(texts, "document", precision="bf16"), expected)
    peers = _worst_cosine(rounded.encode(texts, convert_to_tensor=True).float(), expected)
    print(f"Worst cosine to the peer's float32 vectors: ours {worst:.5f}, the peer's in bf16 {peers:.5f}")
    if worst < 0.9999:
        raise SystemExit(f"our vectors differ from the peer's: worst cosine {worst:.6f}")
    times = interleave(
        {
            "ours": lambda: encoder.encode(texts, "document", precision="bf16"),
            "peer": lambda: peer.encode(texts, convert_to_tensor=True),
            "rounded": lambda: rounded.encode(texts, convert_to_tensor=True),
            "shared": lambda: _shared(encoder, texts),
        },
        rounds=3,
        warm=quick,
    )
    return [
        comparison(
            "encode",
            f"{len(texts):,} mixed texts: SentenceTransformer.encode at its defaults",
            times["ours"],
            times["peer"],
        ),
        comparison(
            "encode_bf16",
            f"{len(texts):,} mixed texts: SentenceTransformer with bf16 weights",
            times["ours"],
            times["rounded"],
        ),
        comparison(
            "encode_threads",
            f"{len(texts):,} mixed texts: ours with threads that share each operation",
            times["ours"],
            times["shared"],
        ),
    ]


def _worst_cosine(embeddings: torch.Tensor, expected: torch.Tensor) -> float:
    return float(torch.cosine_similarity(embeddings, expected).min())


def _shared(encoder: Encoder, texts: list[str]) -> torch.Tensor:
    with patch("hr_retrieval.encoder.encoder._PART_TOKENS", sys.maxsize):
        return encoder.encode(texts, "document", batch_tokens=4096, precision="bf16")


def mixed_texts(peer: SentenceTransformer, count: int) -> list[str]:
    """Texts from one word to 200, half of them below 14, of words that the tokenizer knows."""
    words = sorted(word for word in peer.tokenizer.get_vocab() if word.isalpha() and len(word) > 2)
    generator = random.Random(0)
    lengths = (min(200, max(1, int(generator.lognormvariate(2.6, 0.9)))) for _ in range(count))
    return [" ".join(generator.choices(words, k=length)) for length in lengths]


if __name__ == "__main__":
    print(table(run(quick=False, count=int(sys.argv[1]) if len(sys.argv) > 1 else None)))
