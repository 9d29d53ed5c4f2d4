"""The file of mined hard negatives, which the training writes and its batches draw from."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.tables import Table
from hr_retrieval.errors import UserError
from hr_retrieval.files import whole_file

Rows = npt.NDArray[np.int64]

_SCHEMA = pa.schema(
    [
        pa.field("query_id", pa.string(), nullable=False),
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("positive_score", pa.float32(), nullable=False),
        # What is read again: the same as the ids, as rows of the tables.
        pa.field("query_row", pa.int64(), nullable=False),
        pa.field("document_row", pa.int32(), nullable=False),
    ]
)
_METADATA = b"hr_retrieval.negatives"


@dataclass(frozen=True)
class MiningOptions:
    """Which documents are hard negatives.

    Attributes:
        depth: best documents of each query that are looked at.
        per_query: at most so many of them are kept.
        positive_share: kept only if they score below this share of the query's best positive
            (TopK-PercPos of Moreira et al. 2024, arXiv 2407.15831): what scores higher is often an
            unlabelled positive. The limit is `p - (1 - share) * |p|`, so that it lies below a
            positive score `p` of any sign. `None` sets no limit.
        skip: so many of the hardest that are not relevant are left out.
        queries: at most so many training queries, drawn anew in each epoch; `None` for all.
        seed: of this draw.

    Raises:
        UserError: a value is out of range.
    """

    depth: int = 100
    per_query: int = 8
    positive_share: float | None = 0.95
    skip: int = 0
    queries: int | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        if self.per_query < 1 or self.skip < 0 or self.depth < self.skip + self.per_query:
            _refuse(
                "per_query of at least 1, skip of at least 0, and depth of at least both together",
                f"per_query {self.per_query}, skip {self.skip}, depth {self.depth}",
            )
        if self.positive_share is not None and not 0 < self.positive_share <= 1:
            _refuse("positive_share above 0 and up to 1, or null", str(self.positive_share))
        if self.queries is not None and self.queries < 1:
            _refuse("queries of at least 1, or null", str(self.queries))


@dataclass(frozen=True, eq=False)
class HardNegatives:
    """`n` hard negatives, in the order of the query rows and for each query the hardest first.

    Attributes:
        query_rows: rows in the query table, ascending; of several sources, in their tables one
            behind the other.
        document_rows: rows in the corpus, likewise.
        ranks: places among the documents that are not relevant to the query, from 1.
        scores: similarities to the query.
        positive_scores: the similarity of the query's best positive.
    """

    query_rows: Rows
    document_rows: npt.NDArray[np.int32]
    ranks: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]
    positive_scores: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class MinedNegatives(HardNegatives):
    """All that were mined for an epoch.

    Attributes:
        step: training steps of the encoder that mined them.
        options: how they were mined.
        fingerprint: of the data.
        diagnostics: `kept_per_query`, their mean number; and of all the documents looked at the
            shares `relevant_dropped`, which the guard took, and `too_close_dropped`, at or above
            the limit of `positive_share`.
    """

    step: int
    options: MiningOptions
    fingerprint: str
    diagnostics: dict[str, float]

    def __len__(self) -> int:
        return len(self.query_rows)

    def offsets(self, query_count: int) -> Rows:
        """CSR offsets `[query_count + 1]`: those of query `q` are `document_rows[offsets[q] : offsets[q + 1]]`."""
        return np.searchsorted(self.query_rows, np.arange(query_count + 1)).astype(np.int64)

    def write(self, path: Path, datasets: Sequence[PreparedDataset]) -> None:
        """Write a Parquet file whole or not at all: ids for people, rows for `open`, checksums for both."""
        columns = [
            _ids(datasets, "queries", "query_id", self.query_rows),
            _ids(datasets, "corpus", "document_id", self.document_rows),
            *(pa.array(values) for values in (self.ranks, self.scores, self.positive_scores)),
            *(pa.array(rows) for rows in (self.query_rows, self.document_rows)),
        ]
        info = {
            "step": self.step,
            "options": asdict(self.options),
            "fingerprint": self.fingerprint,
            "diagnostics": self.diagnostics,
        }
        table = pa.Table.from_arrays(columns, schema=_SCHEMA).replace_schema_metadata({_METADATA: json.dumps(info)})
        with whole_file(path) as partial:
            pq.write_table(table, partial, write_page_checksum=True)

    @classmethod
    def open(cls, path: Path, fingerprint: str) -> "MinedNegatives":
        """Read what `write` wrote, of data with this fingerprint.

        Raises:
            UserError: there is no such file, it was damaged, or it was mined from another data set.
        """
        table = _read(path)
        info = json.loads(table.schema.metadata[_METADATA])
        if info["fingerprint"] != fingerprint:
            raise UserError(
                f"negatives mined from the data with fingerprint {fingerprint}",
                f"{path}, mined from the data set with fingerprint {info['fingerprint']}",
                "Bring back the data set of the run, or start a new run.",
            )
        return cls(
            table.column("query_row").to_numpy(),
            table.column("document_row").to_numpy(),
            table.column("rank").to_numpy(),
            table.column("score").to_numpy(),
            table.column("positive_score").to_numpy(),
            info["step"],
            MiningOptions(**info["options"]),
            info["fingerprint"],
            info["diagnostics"],
        )


def _ids(
    datasets: Sequence[PreparedDataset], table: Table, column: str, rows: npt.NDArray[np.integer]
) -> pa.ChunkedArray:
    columns = [pq.read_table(data.folder / f"{table}.parquet", columns=[column]).column(column) for data in datasets]
    return pa.chunked_array([chunk for one in columns for chunk in one.cast(pa.string()).chunks], pa.string()).take(
        rows
    )


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        raise UserError(
            f"mined negatives at {path}",
            "no such file",
            "Restore it; several machines need one run directory that all of them see.",
        )
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(path, str(error)) from None
    if table.schema.remove_metadata() != _SCHEMA or _METADATA not in (table.schema.metadata or {}):
        raise _damaged(path, "other columns or no record of how it was mined")
    return table


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"mined negatives in {path}", what, "Restore the file that the run wrote, or start a new run.")


def _refuse(expected: str, got: Any) -> None:
    raise UserError(f"callbacks.mine_negatives with {expected}", str(got), "Leave it out to have the default.")
