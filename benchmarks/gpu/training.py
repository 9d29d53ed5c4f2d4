"""Training steps against sentence-transformers: the same encoder, pairs, batches and steps in bf16, in turn."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses
from torch import Tensor, nn
from transformers import AttentionInterface

from benchmarks.gpu.card import forward_flops, synchronise
from benchmarks.gpu.made import MULTILINGUAL, Size, pairs, write_encoder
from benchmarks.interleave import comparison, interleave
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.packing import NAME, packed_attention
from hr_retrieval.objective.similarity import cosine
from hr_retrieval.objective.triplet import TripletLoss

_RATE = 2e-5
# Batches that are gone through again and again: the peer's are made beforehand.
_BATCHES = 8
_FLASH = "flash_attention_2"


def train(device: torch.device, size: Size, work: Path, card: dict[str, Any]) -> list[dict[str, Any]]:
    """`train`: the peer's texts are tokenised beforehand, as ours are; `train_tokenising`: in the
    loop, as its trainer does.
    """
    return _against_peer(device, size, work, card, "train", size.vocabulary)


def train_multilingual(device: torch.device, size: Size, work: Path, card: dict[str, Any]) -> list[dict[str, Any]]:
    """The same with a vocabulary of 250,002 words, whose table and its optimizer's state are gone
    through in each step.
    """
    vocabulary = MULTILINGUAL if size.vocabulary > 1000 else 2 * size.vocabulary
    return _against_peer(device, size, work, card, "train_multilingual", vocabulary)


def compile_layers(device: torch.device, size: Size, work: Path, card: dict[str, Any]) -> list[dict[str, Any]]:
    """`torch.compile` of each layer for any number of tokens, attention outside: `ours` is the
    plain step, `peer` the compiled one.
    """
    folder, texts = made_encoder(work, size, size.vocabulary), pairs(size, size.batch * _BATCHES)
    plain, compiled = (Ours(folder, texts, device, size) for _ in range(2))
    outside = torch.compiler.disable(packed_attention)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    AttentionInterface.register(NAME, outside)
    try:
        for layer in compiled.encoder.modules():
            if type(layer).__name__.endswith("Layer"):
                nn.Module.compile(layer, dynamic=True)
        times = interleave({"plain": plain, "compiled": compiled}, size.rounds)
    finally:
        AttentionInterface.register(NAME, packed_attention)
    row = comparison("train_compiled", f"{size.steps} steps, each layer compiled", times["plain"], times["compiled"])
    return [row]


class Ours:
    """A call is `size.steps` steps of our loop."""

    def __init__(
        self,
        folder: Path,
        texts: tuple[list[str], list[str]],
        device: torch.device,
        size: Size,
        packing: bool | None = None,
    ) -> None:
        self.encoder = Encoder(str(folder), packing=packing).to(device)
        self.device, self.size, self.loss = device, size, TripletLoss()
        self.anchors, _ = self.encoder.tokenise(texts[0], "query")
        self.documents, _ = self.encoder.tokenise(texts[1], "document")
        self.optimizer = torch.optim.Adam(self.encoder.parameters(), lr=_RATE, fused=True)
        self.order = _order(len(texts[0]), size.batch)
        self.relevance = torch.eye(size.batch, dtype=torch.bool, device=device)
        self.last = torch.zeros(())

    def __call__(self) -> None:
        for _ in range(self.size.steps):
            rows = torch.from_numpy(next(self.order))
            tokens = self.anchors.take(rows).concatenate(self.documents.take(rows))
            with torch.autocast(self.device.type, torch.bfloat16):
                embeddings = self.encoder(tokens.to(self.device))
            scores = cosine(embeddings[: self.size.batch], embeddings[self.size.batch :])
            self.last = _step(self.encoder, self.loss(scores, self.relevance).loss, self.optimizer)
        synchronise(self.device)

    def flops(self) -> float:
        """Operations that a call cannot do without, in the mean over the batches."""
        lengths = [*self.anchors.lengths.tolist(), *self.documents.lengths.tolist()]
        batches = len(self.anchors) // self.size.batch
        return 3 * forward_flops(lengths, self.size.layers, self.size.hidden) / batches * self.size.steps


class Peer:
    """A call is as many steps of the peer's model and loss, with its texts tokenised beforehand or in the loop."""

    def __init__(
        self, folder: Path, texts: tuple[list[str], list[str]], device: torch.device, size: Size, beforehand: bool
    ) -> None:
        self.model, self.attention = open_peer(folder, device)
        self.model.train()
        self.device, self.size = device, size
        self.loss = losses.MultipleNegativesRankingLoss(
            self.model, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"
        )
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=_RATE, fused=True)
        self.order, self.texts, self.beforehand = _order(len(texts[0]), size.batch), texts, beforehand
        self.known: dict[int, list[dict[str, Any]]] = {}
        self.last = torch.zeros(())

    def __call__(self) -> None:
        for _ in range(self.size.steps):
            features = [_moved(side, self.device) for side in self._features(next(self.order))]
            with torch.autocast(self.device.type, torch.bfloat16):
                loss = self.loss(features, torch.zeros(self.size.batch, device=self.device))
            self.last = _step(cast(nn.Module, self.model), loss, self.optimizer)
        synchronise(self.device)

    def _features(self, rows: np.ndarray) -> list[dict[str, Any]]:
        first = int(rows[0])
        if self.beforehand and first in self.known:
            return self.known[first]
        features = [self.model.preprocess([side[row] for row in rows]) for side in self.texts]
        if self.beforehand:
            if self.device.type == "cuda":
                features = [{name: _pinned(value) for name, value in side.items()} for side in features]
            self.known[first] = features
        return features


def open_peer(folder: Path, device: torch.device, dtype: torch.dtype | None = None) -> tuple[SentenceTransformer, str]:
    """The peer with flash attention and no padding where its libraries have that, else with torch's
    and padded; and which.
    """
    options: dict[str, Any] = {} if dtype is None else {"dtype": dtype}
    try:
        model = SentenceTransformer(
            str(folder), device=str(device), model_kwargs={**options, "attn_implementation": _FLASH}
        )
    except (ImportError, OSError, ValueError, RuntimeError):
        # Without the package flash-attn it asks a hub for the kernel.
        return SentenceTransformer(str(folder), device=str(device), model_kwargs=options), "sdpa, padded"
    return model, f"{_FLASH}, unpadded"


def _against_peer(
    device: torch.device, size: Size, work: Path, card: dict[str, Any], name: str, vocabulary: int
) -> list[dict[str, Any]]:
    folder, texts = made_encoder(work, size, vocabulary), pairs(size, size.batch * _BATCHES, vocabulary)
    ours, padded = Ours(folder, texts, device, size), Ours(folder, texts, device, size, packing=False)
    peer, tokenising = (Peer(folder, texts, device, size, beforehand) for beforehand in (True, False))
    rivals: dict[str, Callable[[], object]] = {"ours": ours, "peer": peer, "tokenising": tokenising, "padded": padded}
    # Each batch once: the peer's are made now.
    for rival in (ours, peer):
        for _ in range(-(-_BATCHES // size.steps)):
            rival()
    times = interleave(rivals, size.rounds)
    share = ours.flops() / times["ours"].median / 1e12 / card["peak_tflops"]
    what = f"{size.steps} steps of {size.batch} pairs, vocabulary {vocabulary:,}"
    extra = {
        "peer_attention": peer.attention,
        "share_of_peak": share,
        "tokens_a_second": _tokens(ours) / times["ours"].median,
        # Weights, batches and their order are the same: so are the losses, up to rounding.
        "last_losses": {"ours": float(ours.last), "peer": float(peer.last)},
    }
    against = {"peer": name, "tokenising": f"{name}_tokenising", "padded": f"{name}_own_padding"}
    return [
        {**comparison(row, f"{what}: {rival}", times["ours"], times[rival]), **extra} for rival, row in against.items()
    ]


def _tokens(ours: Ours) -> float:
    batches = len(ours.anchors) // ours.size.batch
    return (len(ours.anchors.ids) + len(ours.documents.ids)) / batches * ours.size.steps


def made_encoder(work: Path, size: Size, vocabulary: int) -> Path:
    folder = work / f"encoder-{vocabulary}"
    if not folder.exists():
        write_encoder(folder, size, vocabulary)
    return folder / "encoder"


def _order(count: int, batch: int) -> Iterator[np.ndarray]:
    """The same batches in the same order, without end."""
    order = np.random.default_rng(0).permutation(count).reshape(-1, batch)
    while True:
        yield from order


def _step(model: nn.Module, loss: Tensor, optimizer: torch.optim.Optimizer) -> Tensor:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.detach()


def _pinned(value: Any) -> Any:
    return value.pin_memory() if isinstance(value, Tensor) else value


def _moved(features: dict[str, Any], device: torch.device) -> dict[str, Any]:
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for name, value in features.items()
    }
