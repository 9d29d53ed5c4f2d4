"""Pairs of queries and documents that a teacher has scored, and the file that keeps them."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hr_retrieval.data.arrays import PairNumbers, Rows
from hr_retrieval.files import whole_file

Scores = npt.NDArray[np.float32]

_SCHEMA = pa.schema([pa.field("pair", pa.int64(), nullable=False), pa.field("score", pa.float32(), nullable=False)])
_METADATA = b"hr_retrieval.scored"


@dataclass(frozen=True, eq=False)
class ScoredPairs:
    """`P` scored pairs.

    Attributes:
        pairs: `query row * document_count + document row`, ascending and distinct; rows are those
            among all sources.
        values: their scores.
        document_count: documents of all sources.
    """

    pairs: PairNumbers
    values: Scores
    document_count: int

    @classmethod
    def none(cls, document_count: int) -> "ScoredPairs":
        """No pair yet."""
        return cls(np.empty(0, np.int64), np.empty(0, np.float32), document_count)

    @classmethod
    def open(cls, path: Path, document_count: int, about: dict[str, str]) -> "ScoredPairs":
        """What `write` wrote about the same; none where there is no such file, or it is of another
        teacher or data set, or damaged: it can be made anew.
        """
        try:
            table = pq.read_table(path, page_checksum_verification=True)
        except (pa.ArrowInvalid, OSError):
            return cls.none(document_count)
        if (table.schema.metadata or {}).get(_METADATA) != json.dumps(about).encode():
            return cls.none(document_count)
        return cls(table.column("pair").to_numpy(), table.column("score").to_numpy(), document_count)

    def write(self, path: Path, about: dict[str, str]) -> None:
        """Write a Parquet file, whole or not at all.

        Args:
            about: what the scores follow from: the teacher and the data.
        """
        schema = _SCHEMA.with_metadata({_METADATA: json.dumps(about)})
        with whole_file(path) as partial:
            pq.write_table(pa.table([self.pairs, self.values], schema=schema), partial, write_page_checksum=True)

    def unknown(self, pairs: PairNumbers) -> PairNumbers:
        """Those of the pairs that are not scored, once and ascending."""
        return np.setdiff1d(pairs, self.pairs)

    def with_pairs(self, pairs: PairNumbers, values: Scores) -> "ScoredPairs":
        """These too."""
        order = np.argsort(whole := np.concatenate([self.pairs, pairs]))
        return ScoredPairs(whole[order], np.concatenate([self.values, values])[order], self.document_count)

    def only(self, pairs: PairNumbers) -> "ScoredPairs":
        """Of these pairs those that are scored."""
        kept = np.isin(self.pairs, pairs)
        return ScoredPairs(self.pairs[kept], self.values[kept], self.document_count)

    def scores(self, query_rows: Rows, document_rows: Rows) -> Scores:
        """`[B, D]`, NaN where a pair is not scored."""
        wanted = query_rows[:, None] * self.document_count + document_rows[None]
        at = np.searchsorted(self.pairs, wanted)
        there = at < len(self.pairs)
        there[there] = self.pairs[at[there]] == wanted[there]
        found: Scores = np.full(wanted.shape, np.nan, np.float32)
        found[there] = self.values[at[there]]
        return found
