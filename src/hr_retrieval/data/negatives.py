"""Hard negatives: what an encoder ranks high for training queries although it is not relevant, mined and on disk."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float
from torch import Tensor

from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.guard import Guard
from hr_retrieval.data.tables import SPLITS, Table
from hr_retrieval.data.tokens import TokenTable, progress
from hr_retrieval.encoder.ragged import Ragged
from hr_retrieval.errors import UserError
from hr_retrieval.files import whole_file
from hr_retrieval.retrieval.index import ExactIndex

Rows = npt.NDArray[np.int64]
# Tokens of some texts to their embeddings.
Embed = Callable[[Ragged], Tensor]

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
# Queries searched at a time, and entries of the mask of these queries by all the documents that were found for them.
_QUERIES = 512
_MASK = 1 << 25


@dataclass(frozen=True)
class MiningOptions:
    """Which documents are hard negatives.

    Attributes:
        depth: best documents of each query that are looked at.
        per_query: at most so many of them are kept.
        positive_share: kept only if they score below this share of the query's best positive (TopK-PercPos of Moreira et
            al. 2024, arXiv 2407.15831): what scores higher is often an unlabelled positive. The limit is `p - (1 -
            share) * |p|`, so that it lies below a positive score `p` of any sign. `None` sets no limit.
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
class MinedNegatives:
    """`n` hard negatives, in the order of the query rows and for each query the hardest first.

    Attributes:
        query_rows: rows in the query table, ascending.
        document_rows: rows in the corpus.
        ranks: places among the documents that are not relevant to the query, from 1.
        scores: similarities to the query.
        positive_scores: the similarity of the query's best positive.
        step: training steps of the encoder that mined them.
        options: how they were mined.
        fingerprint: of the prepared data set.
        diagnostics: `kept_per_query`, their mean number; and of all the documents looked at the shares
            `relevant_dropped`, which the guard took, and `too_close_dropped`, at or above the limit of `positive_share`.
    """

    query_rows: Rows
    document_rows: npt.NDArray[np.int32]
    ranks: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]
    positive_scores: npt.NDArray[np.float32]
    step: int
    options: MiningOptions
    fingerprint: str
    diagnostics: dict[str, float]

    def __len__(self) -> int:
        return len(self.query_rows)

    def offsets(self, query_count: int) -> Rows:
        """CSR offsets `[query_count + 1]`: those of query `q` are `document_rows[offsets[q] : offsets[q + 1]]`."""
        return np.searchsorted(self.query_rows, np.arange(query_count + 1)).astype(np.int64)

    def write(self, path: Path, dataset: PreparedDataset) -> None:
        """Write a Parquet file whole or not at all: ids for people, rows for `open`, checksums for both."""
        columns = [
            _ids(dataset, "queries", "query_id", self.query_rows),
            _ids(dataset, "corpus", "document_id", self.document_rows),
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
    def open(cls, path: Path, dataset: PreparedDataset) -> "MinedNegatives":
        """Read what `write` wrote.

        Raises:
            UserError: there is no such file, it was damaged, or it was mined from another data set.
        """
        table = _read(path)
        info = json.loads(table.schema.metadata[_METADATA])
        if info["fingerprint"] != dataset.fingerprint:
            raise UserError(
                f"negatives mined from {dataset.folder} with fingerprint {dataset.fingerprint}",
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


def mine(
    dataset: PreparedDataset,
    guard: Guard,
    query_tokens: TokenTable,
    document_tokens: TokenTable,
    embed: Embed,
    options: MiningOptions,
    epoch: int,
    step: int,
    batch_tokens: int,
) -> MinedNegatives:
    """The hardest allowed negatives of the training queries, by exact search over `candidate_documents`.

    The embeddings of these documents are held, and beside them what a block of queries needs.

    Args:
        guard: takes what is relevant, and what its guide finds as close as a positive.
        embed: `b` texts to embeddings `[b, d]`, without gradient.
        batch_tokens: tokens that `embed` gets at a time.
    """
    queries, candidates = mined_queries(dataset, options, epoch), candidate_documents(dataset, guard)
    index = ExactIndex(_embedded("mining: documents", document_tokens, candidates, embed, batch_tokens))
    size = max(1, min(_QUERIES, math.isqrt(_MASK // options.depth)))
    found, looked_at, relevant, close = [], 0, 0, 0
    for rows, embeddings in _query_blocks(query_tokens, queries, embed, batch_tokens, size):
        part = hardest_allowed(index, candidates, embeddings, rows, guard, options)
        found.append(part)
        looked_at, relevant, close = looked_at + part.looked_at, relevant + part.relevant, close + part.close
    return MinedNegatives(
        np.concatenate([part.query_rows for part in found]),
        np.concatenate([part.document_rows for part in found]),
        np.concatenate([part.ranks for part in found]),
        np.concatenate([part.scores for part in found]),
        np.concatenate([part.positive_scores for part in found]),
        step,
        options,
        dataset.fingerprint,
        {
            "kept_per_query": sum(len(part.query_rows) for part in found) / len(queries),
            "relevant_dropped": relevant / looked_at,
            "too_close_dropped": close / looked_at,
        },
    )


def mined_queries(dataset: PreparedDataset, options: MiningOptions, epoch: int) -> Rows:
    """Rows of the training queries with a positive, ascending; of these the drawn ones where `options.queries` says so."""
    trained = (np.asarray(dataset.query_split) == SPLITS["train"]) & (np.diff(dataset.positive_offsets) > 0)
    rows = np.flatnonzero(trained)
    if options.queries is not None and options.queries < len(rows):
        rows = np.random.default_rng((options.seed, epoch)).choice(rows, options.queries, replace=False)
    return np.sort(rows)


def candidate_documents(dataset: PreparedDataset, guard: Guard) -> Rows:
    """Rows, ascending, of all documents but those relevant to a query of another split, so that no answer of a measured
    query is pushed away in training; positives of training queries are in.
    """
    allowed = np.ones(dataset.document_count, dtype=bool)
    split = np.asarray(dataset.query_split)
    measured = np.flatnonzero(split != SPLITS["train"])
    if len(measured):
        allowed[guard.relevant(measured, np.arange(dataset.document_count))[1]] = False
    in_train = np.repeat(split == SPLITS["train"], np.diff(dataset.positive_offsets))
    allowed[np.asarray(dataset.positive_documents)[in_train]] = True
    return np.flatnonzero(allowed)


@dataclass(frozen=True, eq=False)
class Hardest:
    """The allowed negatives of a block of queries, as in `MinedNegatives`, and how many documents were looked at, were
    relevant, and were too close.
    """

    query_rows: Rows
    document_rows: npt.NDArray[np.int32]
    ranks: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]
    positive_scores: npt.NDArray[np.float32]
    looked_at: int
    relevant: int
    close: int


def hardest_allowed(
    index: ExactIndex,
    candidates: Rows,
    queries: Float[Tensor, "b d"],
    query_rows: Rows,
    guard: Guard,
    options: MiningOptions,
) -> Hardest:
    """The hardest allowed negatives of a block of queries.

    Args:
        index: of the embeddings of `candidates`.
        candidates: rows in the corpus, ascending; the positives of the queries are among them.
        queries: embeddings of `query_rows`.
        query_rows: rows in the query table, ascending, each with a positive.
    """
    found_scores, found = index.search(queries, options.depth)
    scores, documents = found_scores.cpu().numpy(), candidates[found.cpu().numpy()]
    positive = _best_positives(index, candidates, queries, query_rows, guard)
    relevant = _guarded(guard, query_rows, documents)
    ranks = (~relevant).cumsum(axis=1)
    beyond = ~relevant & (ranks > options.skip)
    close = beyond & (scores.astype(np.float64) >= _limits(positive, options.positive_share)[:, None])
    allowed = beyond & ~close
    at = np.nonzero(allowed & (allowed.cumsum(axis=1) <= options.per_query))
    return Hardest(
        query_rows[at[0]],
        documents[at].astype(np.int32),
        ranks[at].astype(np.int32),
        scores[at],
        positive[at[0]],
        scores.size,
        int(relevant.sum()),
        int(close.sum()),
    )


def _limits(positive: npt.NDArray[np.float32], share: float | None) -> npt.NDArray[np.float64]:
    wide = positive.astype(np.float64)
    return np.full_like(wide, np.inf) if share is None else wide - (1 - share) * np.abs(wide)


def _best_positives(
    index: ExactIndex, candidates: Rows, queries: Float[Tensor, "b d"], query_rows: Rows, guard: Guard
) -> npt.NDArray[np.float32]:
    """The score of each query's best stated positive."""
    offsets, documents = guard.tables.positive_offsets, guard.tables.positive_documents
    counts = offsets[query_rows + 1] - offsets[query_rows]
    stated = np.concatenate([documents[offsets[row] : offsets[row + 1]] for row in query_rows])
    owners, at = np.repeat(np.arange(len(query_rows)), counts), np.searchsorted(candidates, stated)
    scores = index.score(queries, torch.from_numpy(owners), torch.from_numpy(at)).cpu().numpy()
    return np.maximum.reduceat(scores, np.cumsum(counts) - counts)


def _guarded(guard: Guard, query_rows: Rows, documents: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which `[b, k]` of each query's own documents are no negatives of it."""
    distinct, at = np.unique(documents, return_inverse=True)
    _, negative = guard.judge(query_rows, distinct)
    return ~negative[np.arange(len(query_rows))[:, None], at.reshape(documents.shape)]


def _query_blocks(
    tokens: TokenTable, rows: Rows, embed: Embed, batch_tokens: int, size: int
) -> Iterator[tuple[Rows, Float[Tensor, "b d"]]]:
    with progress("mining: queries", len(rows)) as advance:
        for begin in range(0, len(rows), size):
            block = rows[begin : begin + size]
            yield block, torch.cat(list(_embeddings(tokens, block, embed, batch_tokens)))
            advance(len(block))


def _embedded(label: str, tokens: TokenTable, rows: Rows, embed: Embed, batch_tokens: int) -> Float[Tensor, "N d"]:
    """Embeddings of the given texts in their order, held once."""
    whole: Tensor | None = None
    begin = 0
    with progress(label, len(rows)) as advance:
        for part in _embeddings(tokens, rows, embed, batch_tokens):
            if whole is None:
                whole = part.new_empty((len(rows), part.shape[1]))
            whole[begin : begin + len(part)] = part
            begin += len(part)
            advance(len(part))
    assert whole is not None, "the training split has documents"
    return whole


# Texts sorted by length at a time: enough to fill batches of like length.
_RUN = 1 << 14


def _embeddings(tokens: TokenTable, rows: Rows, embed: Embed, batch_tokens: int) -> Iterator[Float[Tensor, "r d"]]:
    """Embeddings of the given texts in their order, run by run, each embedded in batches of texts of similar length."""
    for begin in range(0, len(rows), _RUN):
        run = rows[begin : begin + _RUN]
        lengths = tokens.offsets[run + 1] - tokens.offsets[run]
        order = np.argsort(lengths, kind="stable")
        cuts = np.flatnonzero(np.diff(np.cumsum(lengths[order]) // batch_tokens)) + 1
        parts = [embed(tokens.take(run[part])) for part in np.split(order, cuts)]
        yield torch.cat(parts)[torch.from_numpy(np.argsort(order)).to(parts[0].device)]


def _ids(dataset: PreparedDataset, table: Table, column: str, rows: npt.NDArray[np.integer]) -> pa.ChunkedArray:
    return (
        pq.read_table(dataset.folder / f"{table}.parquet", columns=[column]).column(column).cast(pa.string()).take(rows)
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
    raise UserError(f"callbacks.mine_negatives with {expected}", str(got), "Mend these keys.")
