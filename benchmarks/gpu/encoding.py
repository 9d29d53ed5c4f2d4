"""Encoding from texts to vectors against sentence-transformers in bf16, in turn."""

import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.gpu.card import forward_flops, synchronise
from benchmarks.gpu.made import Size, mixed_texts
from benchmarks.gpu.training import made_encoder, open_peer
from benchmarks.interleave import comparison, interleave
from hr_retrieval.encoder.encoder import Encoder


def encode(device: torch.device, size: Size, work: Path, card: dict[str, Any]) -> list[dict[str, Any]]:
    """`Encoder.encode` against `SentenceTransformer.encode` with its weights in bf16, texts of one word to 126."""
    folder = made_encoder(work, size, size.vocabulary)
    texts = mixed_texts(size.vocabulary, size.texts, 14, seed=3)
    ours = Encoder(str(folder)).to(device)
    peer, attention = open_peer(folder, device, torch.bfloat16)

    def own() -> torch.Tensor:
        found = ours.encode(texts, "document", precision="bf16")
        synchronise(device)
        return found

    def other() -> torch.Tensor:
        found = torch.as_tensor(peer.encode(texts, batch_size=size.batch, convert_to_tensor=True))
        synchronise(device)
        return found

    few = texts[: size.batch]
    exact = ours.encode(few, "document")
    vectors = {
        "ours": ours.encode(few, "document", precision="bf16"),
        "peer": torch.as_tensor(peer.encode(few, convert_to_tensor=True)),
    }
    cosines = {name: float(F.cosine_similarity(found.float(), exact).min()) for name, found in vectors.items()}
    times = interleave({"ours": own, "peer": other}, rounds=3)
    begun = time.perf_counter()
    tokens, _ = ours.tokenise(texts, "document")
    tokenising = time.perf_counter() - begun
    flops = forward_flops(tokens.lengths.tolist(), size.layers, size.hidden)
    row = comparison("encode", f"{len(texts):,} texts from strings to vectors", times["ours"], times["peer"])
    return [
        {
            **row,
            "peer_attention": attention,
            "share_of_peak": flops / times["ours"].median / 1e12 / card["peak_tflops"],
            "tokenising_ms": tokenising * 1e3,
            "texts_a_second": len(texts) / times["ours"].median,
            "worst_cosine_to_float32": cosines,
        }
    ]
