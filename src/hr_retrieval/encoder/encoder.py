"""From tokens to unit embeddings: a Hugging Face encoder in the Sentence Transformers folder layout.

Longer than other files: it is the one object that users hold, and its parts share the weights.
"""

import copy
import hashlib
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from rich.progress import track
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from hr_retrieval.encoder.cpu.rounding import native_bfloat16, prepacked, round_embeddings
from hr_retrieval.encoder.cpu.threads import GraphPerThread, in_threads
from hr_retrieval.encoder.dimensions import choose_dimensions, full_dimension, projections_of
from hr_retrieval.encoder.folder import encoder_folder
from hr_retrieval.encoder.loading import (
    choose_length,
    choose_pooling,
    choose_prefixes,
    load,
    positions,
    report_overruled,
)
from hr_retrieval.encoder.passages import Span, spans
from hr_retrieval.encoder.pooling import pool
from hr_retrieval.encoder.ragged import Ragged, in_batches, in_parts, on_device
from hr_retrieval.encoder.saving import save_encoder
from hr_retrieval.encoder.token_vectors import TokenVectors
from hr_retrieval.encoder.tokenizer import FolderTokenizer
from hr_retrieval.encoder.wording import Kind, around, check_prompts, templates
from hr_retrieval.errors import UserError
from hr_retrieval.files import whole_folder

Precision = Literal["float32", "bf16"]

# Tokens that one thread encodes at a time: fewer, and threads wait for Python's lock; more, and
# what a layer works on leaves the cache.
_PART_TOKENS = 2048
# From how many tokens on it is worth it to lay out the weights first.
_PREPACKED_TOKENS = 8192
# While gradients are recorded: the least that is worth a thread of its own, and how many parts
# there are at most, since each brings a gradient of all weights.
_LEAST_TOKENS, _MOST_PARTS = 256, 4


class Encoder(nn.Module):
    """Texts or their tokens to unit embeddings.

    Transformer, pooling, dense layers if the folder has some, truncation to the first `dimensions`
    (Matryoshka Representation Learning, Kusupati et al. 2022), unit length. Where the architecture
    allows, all texts of a batch lie in one row without padding (`packing.py`).

    Args:
        name_or_path: a local folder; `builtin:all-MiniLM-L6-v2` or `builtin:multilingual-e5-small`;
            `tiny`, random weights for tests; or a hub name.
        pooling: mean, cls, max or lasttoken; None for the folder's own, or mean for a plain Hugging
            Face folder.
        max_length: tokens read of each text, special tokens included; None for the folder's own.
        query_prefix: put before each query; None for the folder's prompt `query` or `search_query`,
            its default prompt, or none.
        document_prefix: put before each document; None for the folder's prompt `document`,
            `passage`, `corpus` or `search_document`, its default prompt, or none.
        query_template: in place of `query_prefix`, what each query is put into at `{text}`. Text
            behind it is cut with the rest at `max_length`.
        document_template: likewise in place of `document_prefix`.
        dimensions: how many of the first dimensions to keep; None for the folder's own.
        dropout: of all dropout layers while training, whatever the folder says. On a CPU its random
            numbers cost more than the matrix products.
        packing: True to insist, False for never, None for wherever a check at loading finds it
            equal to padding.
        revision: branch, tag or commit of a hub name.
        trust_remote_code: whether a folder may bring Python code of its own.

    Raises:
        UserError: the folder is missing, incomplete or unsafe; or an option does not fit it.
    """

    def __init__(
        self,
        name_or_path: str,
        pooling: str | None = None,
        max_length: int | None = None,
        query_prefix: str | None = None,
        document_prefix: str | None = None,
        query_template: str | None = None,
        document_template: str | None = None,
        dimensions: int | None = None,
        dropout: float = 0.0,
        packing: bool | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        super().__init__()
        self.name_or_path = name_or_path
        query, query_suffix = around(query_prefix, query_template, "query")
        document, document_suffix = around(document_prefix, document_template, "document")
        self.suffixes: dict[Kind, str] = {"query": query_suffix, "document": document_suffix}
        with encoder_folder(name_or_path, revision, trust_remote_code) as folder:
            loaded = load(folder, trust_remote_code)
            self.pooling = choose_pooling(pooling, loaded[1])
            self.max_length = choose_length(max_length, loaded)
            self.prefixes: dict[Kind, str] = choose_prefixes(query, document, loaded)
            self.dimensions = choose_dimensions(dimensions, loaded)
            report_overruled(
                name_or_path, folder, loaded, self.pooling, self.max_length, self.dimensions, self.prefixes
            )
        # In a tuple, so that the library's modules are not registered and each weight has one name
        # in the state_dict.
        self._loaded = (loaded,)
        self.transformer: nn.Module = loaded[0].auto_model
        self.projections = nn.ModuleList(projections_of(loaded))
        round_embeddings(self.transformer)
        self._tokenizer = FolderTokenizer(loaded, self.max_length)
        self.token_vectors = TokenVectors(self.transformer, name_or_path, self.max_length, dropout, packing)
        # Weights are loaded in evaluation mode, and Lightning leaves each module in its own.
        self.train()

    def forward(self, tokens: Ragged, mini_batch: int | None = None) -> Float[Tensor, "B d"]:
        """Unit embeddings in float32, under whatever autocast is on.

        Args:
            tokens: `B` texts as `tokenise` gives them, on the device of the encoder.
            mini_batch: texts at a time; None for all at once. While gradients are recorded, each
                mini-batch keeps only its embeddings and is computed again in the backward pass,
                with the same dropout: the gradient of the whole batch in the memory of one
                mini-batch (gradient caching, Gao et al. 2021).

        Raises:
            UserError: a text has no tokens, or `mini_batch` is below 1.
        """
        if mini_batch is not None and mini_batch < 1:
            raise UserError("a mini_batch of at least 1, or none", str(mini_batch), "Set it to 64, for example.")
        if mini_batch is None or len(tokens) <= mini_batch:
            return self._embed_whole(tokens)
        rows = torch.split(torch.arange(len(tokens)), mini_batch)
        return torch.cat([checkpoint(self._embed, tokens.take(part), use_reentrant=False) for part in rows])

    def tokenise(self, texts: list[str], kind: Kind) -> tuple[Ragged, int]:
        """Token ids of the texts in their wording with special tokens, and how many were cut at `max_length` tokens."""
        return self._tokenizer(self.worded(texts, kind))

    def worded(self, texts: list[str], kind: Kind) -> list[str]:
        """The texts as they are read: with what is put around each."""
        before, behind = self.prefixes[kind], self.suffixes[kind]
        return [before + text + behind for text in texts] if before or behind else texts

    def passages(self, texts: list[str], kind: Kind, overlap: int) -> list[list[Span]]:
        """Where each text is cut into passages that are read whole, as `encoder.passages.spans` says."""
        return spans(self.tokenizer(), self.prefixes[kind] + self.suffixes[kind], texts, self.max_length, overlap)

    def encode(
        self,
        texts: list[str],
        kind: Kind,
        batch_tokens: int | None = None,
        show_progress: bool = False,
        precision: Precision = "float32",
    ) -> Float[Tensor, "N d"]:
        """Unit embeddings of texts in their order, without gradient, in evaluation mode, on the encoder's device.

        Args:
            batch_tokens: tokens at a time, texts of similar length together; None for what keeps
                the device's threads busy.
            precision: float32, or bf16 for matrix products in bfloat16 (autocast).
        """
        tokens, _ = self.tokenise(texts, kind)
        embeddings = torch.empty(len(texts), self.embedding_dimension, device=self.device)
        batches = in_batches(tokens.lengths, batch_tokens or self._budget())
        many = precision == "bf16" and self.device.type == "cpu" and len(tokens.ids) >= _PREPACKED_TOKENS
        training = self.training
        self.eval()
        try:
            with (
                torch.inference_mode(),
                torch.autocast(self.device.type, torch.bfloat16, enabled=precision == "bf16"),
                prepacked(self.transformer) if many and native_bfloat16() else nullcontext(),
            ):
                # A bar that is not shown has a thread all the same, which takes longer than a query.
                for rows in track(batches, "encoding", transient=True) if show_progress else batches:
                    embeddings[on_device(rows, self.device)] = self(tokens.take(rows).to(self.device))
        finally:
            self.train(training)
        return embeddings

    def save(self, folder: Path, files: Mapping[str, str] | None = None, replace: bool = False) -> None:
        """Write a folder that `SentenceTransformer(folder)` and `Encoder(folder)` load, with the same embeddings.

        Prefixes become the prompts `query` and `document`; `dimensions` are picked before vectors
        get unit length; weights are in safetensors. Any version of Sentence Transformers that knows
        safetensors reads the folder.

        Args:
            folder: a new or empty folder.
            files: texts of further files by name, such as a model card as README.md.
            replace: whether what stands at `folder` may be replaced; it stays until the new one is
                whole.

        Raises:
            UserError: `folder` holds something and `replace` is false, it cannot be written to, or a
                template has text behind `{text}`.
        """
        check_prompts(self.suffixes)
        (loaded,) = self._loaded
        with whole_folder(folder, replace) as partial:
            projections = list(self.projections)
            save_encoder(partial, loaded, projections, self.pooling, self.max_length, self.dimensions, self.prefixes)
            for name, text in (files or {}).items():
                (partial / name).write_text(text, encoding="utf-8")

    def tokenizer(self) -> Tokenizer:
        """A tokenizer of its own that cuts as the encoder does, without what is put around texts."""
        return self._tokenizer.copy()

    def save_tokenizer(self, folder: Path) -> None:
        """Write the tokenizer's files; `tokenizer.json` cuts at `max_length` and pads at the end by itself."""
        (loaded,) = self._loaded
        loaded.tokenizer.save_pretrained(str(folder))
        own = self.tokenizer()
        own.enable_padding(pad_id=loaded.tokenizer.pad_token_id, pad_token=loaded.tokenizer.pad_token)
        own.save(str(folder / "tokenizer.json"))

    def reworded(
        self,
        query_prefix: str | None = None,
        document_prefix: str | None = None,
        query_template: str | None = None,
        document_template: str | None = None,
    ) -> "Encoder":
        """The same encoder, which shares its weights and reads texts in these words; None for its own.

        Raises:
            UserError: prefix and template of a kind are given, or a template has not `{text}` once.
        """
        other = copy.copy(self)
        other.prefixes, other.suffixes = dict(self.prefixes), dict(self.suffixes)
        options: dict[Kind, tuple[str | None, str | None]] = {
            "query": (query_prefix, query_template),
            "document": (document_prefix, document_template),
        }
        for kind, (prefix, template) in options.items():
            before, behind = around(prefix, template, kind)
            if before is not None:
                other.prefixes[kind], other.suffixes[kind] = before, behind
        return other

    @property
    def wording(self) -> dict[str, str]:
        """`query_template` and `document_template`, as the options that read texts in the same words."""
        return templates(self.prefixes, self.suffixes)

    def token_counts(self, texts: list[str], kind: Kind) -> list[int]:
        """Tokens of each text, with what is put around it, if nothing were cut."""
        return self._tokenizer.lengths([self.prefixes[kind] + text + self.suffixes[kind] for text in texts])

    @property
    def longest(self) -> int | None:
        """Tokens that the transformer has positions for; None for any number."""
        return positions(self.transformer)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.parameters()).device

    @property
    def embedding_dimension(self) -> int:
        """Length of the embeddings."""
        return self.dimensions or full_dimension(self._loaded[0])

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same text could give other tokens: a hash of tokenizer, truncation and wording."""
        # A template that ends with the text is a prefix.
        wording = [self.prefixes, *([self.suffixes] if any(self.suffixes.values()) else [])]
        return self._tokenizer.fingerprint(*wording)

    def embedding_fingerprint(self) -> str:
        """Changes whenever the same text could get another embedding: SHA-256 over tokens, pooling,
        dimensions and weights.
        """
        digest = hashlib.sha256(f"{self.fingerprint} {self.pooling} {self.embedding_dimension}".encode())
        for name, weight in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def describe(self) -> dict[str, str | int | bool]:
        """What the encoder is, for logs."""
        return {
            "name_or_path": self.name_or_path,
            "architecture": type(self.transformer).__name__,
            "parameters": sum(parameter.numel() for parameter in self.parameters()),
            "embedding_dimension": self.embedding_dimension,
            "pooling": self.pooling,
            "max_length": self.max_length,
            "query_prefix": self.prefixes["query"],
            "document_prefix": self.prefixes["document"],
            **{f"{kind}_suffix": suffix for kind, suffix in self.suffixes.items() if suffix},
            "packing": self.token_vectors.packed,
            "packing_reason": self.token_vectors.reason,
        }

    def _embed_whole(self, tokens: Ragged) -> Float[Tensor, "B d"]:
        """All texts, with the threads that the CPU has, in the way that keeps them busiest."""
        if self._threads() == 1:
            return self._embed(tokens)
        if torch.is_grad_enabled():
            dealt = self._dealt(tokens.lengths)
            return self._embed_dealt(tokens, dealt) if len(dealt) > 1 else self._embed(tokens)
        parts = [] if self.training else in_batches(tokens.lengths, _PART_TOKENS)
        if len(parts) < self._threads():
            return self._embed(tokens)
        embeddings = in_threads(lambda rows: self._embed(tokens.take(rows)), parts)
        return torch.cat(embeddings)[torch.cat(parts).argsort()]

    def _embed(self, tokens: Ragged) -> Float[Tensor, "B d"]:
        if len(tokens) == 0:
            return torch.zeros(0, self.embedding_dimension, device=self.device)
        order = tokens.lengths.argsort(stable=True)
        ascending = tokens.take(order)
        lengths = ascending.lengths.tolist()
        if lengths[0] < 1:
            raise UserError("texts of at least one token", "a text without tokens", "Make tokens with tokenise().")
        embeddings = self._pooled(self.token_vectors(ascending, lengths), ascending)
        return embeddings[on_device(order.argsort(), embeddings.device)]

    def _pooled(self, hidden: Float[Tensor, "N h"], tokens: Ragged) -> Float[Tensor, "b d"]:
        # In float32: it costs little, and bfloat16 has three digits.
        with torch.autocast(hidden.device.type, enabled=False):
            return self.finished(pool(hidden.float(), on_device(tokens.offsets, hidden.device), self.pooling))

    def finished(self, embeddings: Float[Tensor, "B h"]) -> Float[Tensor, "B d"]:
        """Pooled vectors through the dense layers, cut, at unit length."""
        for projection in self.projections:
            embeddings = projection({"sentence_embedding": embeddings})["sentence_embedding"]
        return F.normalize(embeddings[:, : self.embedding_dimension], dim=-1)

    def _threads(self) -> int:
        """How many threads may encode parts at a time. Processes that share the weights must ask
        for them in one order.
        """
        return torch.get_num_threads() if self.device.type == "cpu" and not dist.is_initialized() else 1

    def _budget(self) -> int:
        """Tokens at a time in `encode`: on a CPU many parts a thread, so that few wait for the last one."""
        if self.device.type != "cpu":
            return 65536
        return 64 * _PART_TOKENS * self._threads() if self._threads() > 1 else _PART_TOKENS

    def _dealt(self, lengths: Int[Tensor, " B"]) -> list[Int[Tensor, " _"]]:
        """Rows of each thread's part while gradients are recorded.

        No parts where threads would not do: the random numbers of dropout would fall in any order,
        and padded batches are not worth it.
        """
        least = int(lengths.min()) if len(lengths) else 0
        if not self.token_vectors.packed or self.token_vectors.dropout or least < 1:
            return []
        count = min(self._threads(), _MOST_PARTS, int(lengths.sum()) // _LEAST_TOKENS, len(lengths))
        return in_parts(lengths, count)

    def _embed_dealt(self, tokens: Ragged, parts: list[Int[Tensor, " _"]]) -> Float[Tensor, "B d"]:
        """As `_embed`, with the graph of each part in a thread of its own, forward and backward."""
        pieces = [tokens.take(rows) for rows in parts]
        # Looked up at once: the gradient of the table is as large as the table, whatever is looked
        # up.
        table = self.token_vectors.table
        words = table(torch.cat([piece.ids for piece in pieces]))
        weights = [weight for weight in self.parameters() if weight.requires_grad and weight is not table.weight]

        def embed(piece: Ragged, words: Float[Tensor, "n h"]) -> Float[Tensor, "b d"]:
            return self._pooled(self.token_vectors.from_words(words, piece.lengths.tolist()), piece)

        embeddings: Tensor = GraphPerThread.apply(  # type: ignore[no-untyped-call]  # torch leaves it untyped
            embed, pieces, [len(piece.ids) for piece in pieces], words, *weights
        )
        return embeddings[torch.cat(parts).argsort()]
