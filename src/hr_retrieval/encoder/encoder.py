"""From tokens to unit embeddings: a Hugging Face encoder in the Sentence Transformers folder layout.

Longer than other files: it is the one object that users hold, and its parts share the weights.
"""

import copy
import hashlib
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float, Int
from rich.progress import track
from tokenizers import Encoding, Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from hr_retrieval.encoder.cpu.rounding import native_bfloat16, prepacked
from hr_retrieval.encoder.cpu.threads import GraphPerThread, in_threads
from hr_retrieval.encoder.dimensions import choose_dimensions, full_dimension
from hr_retrieval.encoder.folder import encoder_folder
from hr_retrieval.encoder.loading import choose_prefixes, load, report_overruled
from hr_retrieval.encoder.lora import Lora, adapt, has_adapters, merge, merged, merged_weights
from hr_retrieval.encoder.mode import evaluating
from hr_retrieval.encoder.passages import Cutter, Span
from hr_retrieval.encoder.pooling import pool
from hr_retrieval.encoder.ragged import Ragged, in_batches, in_parts, on_device
from hr_retrieval.encoder.reader import Reader, read_by
from hr_retrieval.encoder.saving import save_encoder
from hr_retrieval.encoder.sides import apart, sides_of
from hr_retrieval.encoder.token_vectors import TokenVectors
from hr_retrieval.encoder.wording import KINDS, Kind, around, check_prompts, templates
from hr_retrieval.encoder.words import WordVectors
from hr_retrieval.errors import UserError
from hr_retrieval.files import whole_folder

Precision = Literal["float32", "bf16"]
Value = TypeVar("Value")

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

    Transformer or table of words, pooling, dense layers and norms if the folder has some, truncation
    to the first `dimensions` (Matryoshka Representation Learning, Kusupati et al. 2022), unit
    length. Where the architecture allows, all texts of a batch lie in one row without padding
    (`packing.py`). Queries and documents may have a side each, with heads, a pooling or a
    transformer of its own (`sides.py`).

    Args:
        name_or_path: a local folder; `builtin:all-MiniLM-L6-v2` or `builtin:multilingual-e5-small`;
            `tiny`, random weights for tests; or a hub name.
        pooling: mean, cls, max, lasttoken, weightedmean or mean_sqrt_len_tokens, or several such as
            cls+mean; None for the folder's own, or mean for a plain Hugging Face folder.
        max_length: tokens read of each text, special tokens included; None for the folder's own.
        query_prefix: put before each query; None for the folder's prompt `query` or `search_query`,
            its default prompt, or none.
        document_prefix: put before each document; None for the folder's prompt `document`,
            `passage`, `corpus` or `search_document`, its default prompt, or none.
        query_template: in place of `query_prefix`, what each query is put into at `{text}`. Text
            behind it is cut with the rest at `max_length`.
        document_template: likewise in place of `document_prefix`.
        dimensions: how many of the first dimensions to keep; None for the folder's own.
        heads: shared has documents go the way of the queries; separate gives each kind dense layers of
            its own, copies of the folder's or, where it has none, a linear layer that starts as the
            identity; None for what the folder has.
        lora: adapters that are trained in place of the transformer's weights; None for all weights.
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
        heads: str | None = None,
        lora: Lora | None = None,
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
            sides = sides_of(folder, loaded, heads)
            self.readers: dict[Kind, Reader] = {
                kind: read_by(side, folder, name_or_path, pooling, max_length, dropout, packing)
                for kind, side in sides.items()
                if kind == "query" or side.reading != sides["query"].reading
            }
            self.readers.setdefault("document", self.readers["query"])
            own_heads = {kind: side.heads for kind, side in sides.items()}
            if heads == "separate":
                own_heads = apart(own_heads, self.readers["query"].width)
            full = _one(
                {kind: full_dimension(self.readers[kind].width, own_heads[kind]) for kind in KINDS}, name_or_path
            )
            own = _one({kind: side.picked or loaded.truncate_dim for kind, side in sides.items()}, name_or_path)
            self.dimensions = choose_dimensions(dimensions, own, full)
            self._full = full
            self.prefixes: dict[Kind, str] = choose_prefixes(query, document, loaded)
            report_overruled(name_or_path, loaded, own, self.dimensions, self.prefixes)
        if lora is not None and lora.used:
            self._adapt(lora)
        # In a tuple, so that the library's modules are not registered and each weight has one name
        # in the state_dict.
        self._loaded = (loaded,)
        self._register(own_heads)
        self._cutters: dict[tuple[Kind, str, int], Cutter] = {}
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
        tokens, cut = self.readers[kind].tokenizer(self.worded(texts, kind))
        return tokens.of(kind), cut

    def worded(self, texts: list[str], kind: Kind) -> list[str]:
        """The texts as they are read: with what is put around each."""
        before, behind = self.prefixes[kind], self.suffixes[kind]
        return [before + text + behind for text in texts] if before or behind else texts

    def encodings(self, texts: list[str], kind: Kind) -> list[Encoding]:
        """Their tokens as they are read, with where each stands in the text and in what is put around it."""
        return self.readers[kind].tokenizer.encodings(self.worded(texts, kind))

    def passages(self, texts: list[str], kind: Kind, overlap: int) -> list[list[Span]]:
        """Where each text is cut into passages that are read whole, as `encoder.passages.Cutter` says."""
        way = kind, self.prefixes[kind] + self.suffixes[kind], overlap
        if way not in self._cutters:
            # Kept: to copy a tokenizer takes longer than to encode a query.
            self._cutters[way] = Cutter(self.tokenizer(kind), way[1], self.readers[kind].max_length, overlap)
        return self._cutters[way](texts)

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
        with (
            evaluating(self),
            torch.inference_mode(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=precision == "bf16"),
            prepacked(self.readers[kind].transformer) if many and native_bfloat16() else nullcontext(),
        ):
            # A bar that is not shown has a thread all the same, which takes longer than a query.
            for rows in track(batches, "encoding", transient=True) if show_progress else batches:
                embeddings[on_device(rows, self.device)] = self(tokens.take(rows).to(self.device))
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
        with whole_folder(folder, replace) as partial, merged(self):
            save_encoder(partial, loaded, self.readers, self.heads, self.dimensions, self.prefixes)
            for name, text in (files or {}).items():
                (partial / name).write_text(text, encoding="utf-8")

    def merge_adapters(self) -> None:
        """Add adapters to the weights that they stand beside: the same embeddings, from a plain encoder."""
        merge(self)

    def tokenizer(self, kind: Kind) -> Tokenizer:
        """A tokenizer of its own that cuts as the encoder does, without what is put around texts."""
        return self.readers[kind].tokenizer.copy()

    def save_tokenizer(self, folder: Path) -> None:
        """Write the files of the tokenizer, of queries; `tokenizer.json` cuts at `max_length` and pads at the end."""
        reader = self.readers["query"]
        own, library = self.tokenizer("query"), reader.module.tokenizer
        if isinstance(library, Tokenizer):
            own.enable_padding()
        else:
            library.save_pretrained(str(folder))
            own.enable_padding(pad_id=library.pad_token_id, pad_token=library.pad_token)
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
        return self.readers[kind].tokenizer.lengths(
            [self.prefixes[kind] + text + self.suffixes[kind] for text in texts]
        )

    @property
    def two_sided(self) -> bool:
        """Whether queries and documents go different ways, whatever is put around them."""
        return (
            self.readers["query"] is not self.readers["document"] or self.heads["query"] is not self.heads["document"]
        )

    @property
    def token_vectors(self) -> TokenVectors | WordVectors:
        """Of queries; of documents too, unless these have a reader of their own (`readers`)."""
        return self.readers["query"].token_vectors

    @property
    def pooling(self) -> str:
        """Likewise."""
        return self.readers["query"].pooling

    @property
    def max_length(self) -> int:
        """Tokens read of each text; where the two sides differ, the larger number."""
        return max(reader.max_length for reader in self.readers.values())

    @property
    def longest(self) -> int | None:
        """Tokens that both sides have positions for; None for any number."""
        return min((reader.longest for reader in self.readers.values() if reader.longest is not None), default=None)

    @property
    def heads(self) -> dict[Kind, nn.ModuleList]:
        """Dense layers and norms behind the pooling of each kind."""
        query = self.projections
        return {"query": query, "document": getattr(self, "document_projections", query)}

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.parameters()).device

    @property
    def embedding_dimension(self) -> int:
        """Length of the embeddings."""
        return self.dimensions or self._full

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same text could give other tokens: a hash of tokenizer, truncation and wording."""
        # A template that ends with the text is a prefix.
        wording: list[Any] = [self.prefixes, *([self.suffixes] if any(self.suffixes.values()) else [])]
        if self.readers["query"] is not self.readers["document"]:
            wording += [self.readers["document"].tokenizer.fingerprint()]
        return self.readers["query"].tokenizer.fingerprint(*wording)

    def embedding_fingerprint(self) -> str:
        """Changes whenever the same text could get another embedding: SHA-256 over tokens, pooling,
        dimensions and weights.
        """
        # As it is exported: with adapters merged.
        poolings = " ".join(dict.fromkeys(self.readers[kind].pooling for kind in KINDS))
        digest = hashlib.sha256(f"{self.fingerprint} {poolings} {self.embedding_dimension}".encode())
        for name, weight in sorted(merged_weights(self).items()):
            digest.update(name.encode())
            digest.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def describe(self) -> dict[str, str | int | bool]:
        """What the encoder is, for logs."""
        return {
            "name_or_path": self.name_or_path,
            "architecture": " and ".join(
                dict.fromkeys(type(self.readers[kind].transformer).__name__ for kind in KINDS)
            ),
            **({"sides": "two"} if self.two_sided else {}),
            "parameters": sum(parameter.numel() for parameter in self.parameters()),
            "trained_parameters": sum(weight.numel() for weight in self.parameters() if weight.requires_grad),
            "adapters": has_adapters(self),
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
        if self.readers["query"] is self.readers["document"]:
            return self._embed_by(self.readers["query"], tokens)
        of_each = {kind: self._rows(tokens.queries, kind) for kind in KINDS}
        parts = [self._embed_by(self.readers[kind], tokens.take(rows)) for kind, rows in of_each.items() if len(rows)]
        found = torch.cat(parts)
        return found[on_device(torch.cat(list(of_each.values())).argsort(), found.device)]

    def _embed_by(self, reader: Reader, tokens: Ragged) -> Float[Tensor, "B d"]:
        order = tokens.lengths.argsort(stable=True)
        ascending = tokens.take(order)
        lengths = ascending.lengths.tolist()
        if lengths[0] < 1 and isinstance(reader.token_vectors, TokenVectors):
            raise UserError("texts of at least one token", "a text without tokens", "Make tokens with tokenise().")
        embeddings = self._pooled(reader, reader.token_vectors(ascending, lengths), ascending)
        return embeddings[on_device(order.argsort(), embeddings.device)]

    def _pooled(self, reader: Reader, hidden: Float[Tensor, "N h"], tokens: Ragged) -> Float[Tensor, "b d"]:
        # In float32: it costs little, and bfloat16 has three digits.
        with torch.autocast(hidden.device.type, enabled=False):
            pooled = pool(hidden.float(), on_device(tokens.offsets, hidden.device), reader.pooling)
            return self.finished(pooled, tokens.queries)

    def finished(
        self, embeddings: Float[Tensor, "B w"], queries: Bool[Tensor, " B"] | None = None
    ) -> Float[Tensor, "B d"]:
        """Pooled vectors through the heads of their kind, cut, at unit length.

        Args:
            queries: which are queries, on the CPU; None will do where both kinds have the same heads.
        """
        if self.heads["query"] is self.heads["document"]:
            found = _through(self.heads["query"], embeddings)
        else:
            of_each = {kind: self._rows(queries, kind) for kind in KINDS}
            parts = [
                _through(self.heads[kind], embeddings[on_device(rows, embeddings.device)])
                for kind, rows in of_each.items()
            ]
            found = torch.cat(parts)[on_device(torch.cat(list(of_each.values())).argsort(), embeddings.device)]
        return F.normalize(found[:, : self.embedding_dimension], dim=-1)

    def _rows(self, queries: Bool[Tensor, " B"] | None, kind: Kind) -> Int[Tensor, " b"]:
        """Where the texts of a kind are."""
        if queries is None:
            raise UserError(
                f"tokens that say which are queries, as {self.name_or_path} has a side for each kind",
                "tokens of neither",
                "Make them with tokenise(), or say it: tokens.of('query').",
            )
        return (queries if kind == "query" else ~queries).nonzero().squeeze(1)

    def _adapt(self, lora: Lora) -> None:
        readers = [reader for reader in self.readers.values() if isinstance(reader.token_vectors, TokenVectors)]
        if not readers:
            raise UserError(
                "an encoder with a transformer, for model.encoder.lora",
                f"{self.name_or_path}, a table of words",
                "Set model.encoder.lora.rank=0.",
            )
        for transformer in dict.fromkeys(reader.transformer for reader in readers):
            adapt(transformer, lora, self.name_or_path)
        for reader in readers:
            # Whatever drops by chance is not dealt to threads.
            reader.token_vectors.dropout = max(reader.token_vectors.dropout, lora.dropout)

    def _register(self, heads: Mapping[Kind, tuple[nn.Module, ...]]) -> None:
        """Have the weights under their names: those of both kinds once, under the names of one."""
        query, document = (self.readers[kind] for kind in KINDS)
        self.transformer: nn.Module = query.transformer
        self.projections = nn.ModuleList(heads["query"])
        if query.layers is not None:
            self.layers: nn.Module = query.layers
        if document.transformer is not query.transformer:
            self.document_transformer = document.transformer
        if document.layers is not None and document.layers is not query.layers:
            self.document_layers = document.layers
        if heads["document"] != heads["query"]:
            self.document_projections = nn.ModuleList(heads["document"])

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
        vectors = self.token_vectors
        if not vectors.packed or vectors.dropout or least < 1 or vectors is not self.readers["document"].token_vectors:
            return []
        count = min(self._threads(), _MOST_PARTS, int(lengths.sum()) // _LEAST_TOKENS, len(lengths))
        return in_parts(lengths, count)

    def _embed_dealt(self, tokens: Ragged, parts: list[Int[Tensor, " _"]]) -> Float[Tensor, "B d"]:
        """As `_embed`, with the graph of each part in a thread of its own, forward and backward."""
        pieces = [tokens.take(rows) for rows in parts]
        # Looked up at once: the gradient of the table is as large as the table, whatever is looked
        # up.
        reader = self.readers["query"]
        table = reader.token_vectors.table
        words = table(torch.cat([piece.ids for piece in pieces]))
        weights = [weight for weight in self.parameters() if weight.requires_grad and weight is not table.weight]

        def embed(piece: Ragged, words: Float[Tensor, "n h"]) -> Float[Tensor, "b d"]:
            return self._pooled(reader, reader.token_vectors.from_words(words, piece.lengths.tolist()), piece)

        embeddings: Tensor = GraphPerThread.apply(  # type: ignore[no-untyped-call]  # torch leaves it untyped
            embed, pieces, [len(piece.ids) for piece in pieces], words, *weights
        )
        return embeddings[torch.cat(parts).argsort()]


def _through(heads: nn.ModuleList, embeddings: Float[Tensor, "B w"]) -> Float[Tensor, "B f"]:
    for head in heads:
        embeddings = head({"sentence_embedding": embeddings})["sentence_embedding"]
    return embeddings


def _one(found: Mapping[Kind, Value], name: str) -> Value:
    """What both kinds of text have, where they have the same."""
    if found["query"] != found["document"]:
        raise UserError(
            f"vectors of one length from both sides of {name}",
            f"{found['query']} numbers of queries and {found['document']} of documents",
            "They cannot be compared: use another model.",
        )
    return found["query"]
