"""Documents block by block: the next one is read, cut and tokenised while one is encoded."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.parts import PartTokens, encode_parts, whole_passages
from hr_retrieval.index.corpus import Corpus, Document
from hr_retrieval.store.manifest import Manifest
from hr_retrieval.store.marks import packed, sentences

Item = TypeVar("Item")


@dataclass(frozen=True)
class Block:
    """Documents that are to be encoded, cut into passages.

    Attributes:
        read: documents of the corpus, those that need not be encoded among them.
        encoded: documents that are to be encoded.
        replaces: whether the index has one of these with another content.
        columns: of the passages, all but vectors.
        pieces: their texts.
        parts: their tokens with those of their sentences; `None` where sentences have no vectors.
    """

    read: int
    encoded: int
    replaces: bool
    columns: dict[str, Any]
    pieces: list[str]
    parts: PartTokens | None

    @classmethod
    def of(cls, read: int, documents: list[Document], replaces: bool, encoder: Encoder, manifest: Manifest) -> "Block":
        """Cut and tokenise the documents."""
        texts = [document.text for document in documents]
        spans, encodings = whole_passages(encoder, texts, manifest.side, manifest.overlap)
        owners = [place for place, own in enumerate(spans) for _ in own]
        numbers = [number for own in spans for number in range(len(own))]
        bounds = [span for own in spans for span in own]
        pieces = [texts[owner][begin:end] for owner, (begin, end) in zip(owners, bounds, strict=True)]
        columns = {
            "document_id": [documents[owner].id for owner in owners],
            "passage": numbers,
            "begin": [begin for begin, _ in bounds],
            "end": [end for _, end in bounds],
            "text": [texts[owner] if number == 0 else None for owner, number in zip(owners, numbers, strict=True)],
            "digest": [documents[owner].digest for owner in owners],
        }
        for place, name in enumerate(manifest.metadata):
            columns[name] = [documents[owner].metadata[place] for owner in owners]
        parts = None
        if encoder.pooling == "mean":
            marked = [sentences(piece, 0, len(piece)) for piece in pieces]
            parts = PartTokens.of(encoder, encodings, marked, manifest.side)
        return cls(read, len(documents), replaces, columns, pieces, parts)

    def rows(self, encoder: Encoder, manifest: Manifest, columns: pa.Schema) -> pa.Table:
        """Encode the passages."""
        marks: list[bytes | None] = [None] * len(self.pieces)
        if self.parts is None:
            vectors = encoder.encode(self.pieces, manifest.side).float().cpu().numpy()
        else:
            found, own = encode_parts(encoder, self.parts)
            vectors, marks = found.numpy(), [*packed(own)]
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        return pa.table({**self.columns, "vector": column, "sentences": pa.array(marks, pa.binary())}, schema=columns)


def blocks(corpus: Corpus, known: Mapping[str, str], encoder: Encoder, manifest: Manifest) -> Iterator[Block]:
    """The blocks of a corpus.

    Args:
        known: the digest of each document that the index has, by its id.
    """

    def made() -> Iterator[Block]:
        for batch in corpus.batches():
            fresh = [document for document in batch if known.get(document.id) != document.digest]
            yield Block.of(len(batch), fresh, any(document.id in known for document in fresh), encoder, manifest)

    return _ahead(made())


def _ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The items, each made while the one before is used."""
    with ThreadPoolExecutor(1, "ahead") as thread:
        waiting = thread.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = thread.submit(next, items, None)
            yield item
