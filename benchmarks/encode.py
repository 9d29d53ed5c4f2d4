"""Encoding and training speed against sentence-transformers, with the built-in MiniLM on texts of mixed length.

    python benchmarks/encode.py [number of texts, 10000 unless told]

Each round times all in turn, so that what else the machine does falls on all of them; the best round counts. Two cores
with AVX512-BF16 take about three minutes and print, for encoding, 1.3 (float32) and 3.0 (bf16) times the peer's speed
at its defaults, and for training, forward and backward, 3.6 times that of padded float32 (packed, bf16).
"""

import random
import sys
import time
from collections.abc import Callable

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from hr_retrieval.model.encoder import Encoder
from hr_retrieval.model.folder import BUILTIN, encoder_folder
from hr_retrieval.ragged import Ragged

ROUNDS = 2


def main(count: int) -> None:
    """Print tokens a second and the ratio to the first line, for encoding and for training."""
    encoder, padded = Encoder(BUILTIN), Encoder(BUILTIN, packing=False)
    with encoder_folder(BUILTIN) as folder:
        peer = SentenceTransformer(str(folder), device="cpu")
        peer_bf16 = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.bfloat16})
    texts = mixed_texts(peer, count)
    tokens, _ = encoder.tokenise(texts, "document")
    print(f"{count} texts, {len(tokens.ids)} tokens, {torch.get_num_threads()} threads")
    report(
        len(tokens.ids),
        {
            "SentenceTransformer.encode": lambda: peer.encode(texts, convert_to_tensor=True),
            "SentenceTransformer.encode, weights in bf16": lambda: peer_bf16.encode(
                texts, convert_to_tensor=True
            ).float(),
            "Encoder.encode": lambda: encoder.encode(texts, "document"),
            "Encoder.encode, bf16": lambda: encoder.encode(texts, "document", precision="bf16"),
        },
    )
    batch = encoder.tokenise(texts[:64], "document")[0]
    report(
        len(batch.ids),
        {
            "training, padded float32": lambda: train(padded, batch, torch.float32),
            "training, packed float32": lambda: train(encoder, batch, torch.float32),
            "training, padded bf16": lambda: train(padded, batch, torch.bfloat16),
            "training, packed bf16": lambda: train(encoder, batch, torch.bfloat16),
        },
    )


def mixed_texts(peer: SentenceTransformer, count: int) -> list[str]:
    """Texts from one word to 200, half of them below 14, of words that the tokenizer knows."""
    words = sorted(word for word in peer.tokenizer.get_vocab() if word.isalpha() and len(word) > 2)
    generator = random.Random(0)
    lengths = (min(200, max(1, int(generator.lognormvariate(2.6, 0.9)))) for _ in range(count))
    return [" ".join(generator.choices(words, k=length)) for length in lengths]


def train(encoder: Encoder, batch: Ragged, dtype: torch.dtype) -> Tensor:
    """Embeddings after one forward and backward pass."""
    encoder.zero_grad()
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        embeddings: Tensor = encoder(batch)
    torch.autograd.backward(embeddings[:, 0].sum())
    return embeddings.detach()


def report(tokens: int, runs: dict[str, Callable[[], Tensor]]) -> None:
    """Time the runs in turn; print speed, ratio to the first, and the worst cosine to the embeddings of the first."""
    best, results = dict.fromkeys(runs, float("inf")), {}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            begin = time.perf_counter()
            results[name] = run()
            best[name] = min(best[name], time.perf_counter() - begin)
    first = next(iter(runs))
    for name, seconds in best.items():
        cosine = torch.cosine_similarity(results[name].double(), results[first].double()).min()
        print(f"{name:45} {tokens / seconds:8.0f} tokens/s {best[first] / seconds:6.2f}x   cosine >= {cosine:.6f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
