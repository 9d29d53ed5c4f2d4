"""Data sets in the folder layout of BEIR (Thakur et al. 2021): corpus, queries and relevance judgements by id."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from hr_retrieval.data.arrays import Hashes, Mask, Rows
from hr_retrieval.data.keys import Index, keys_of
from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers.json_lines import json_row
from hr_retrieval.prepare.readers.packing import packing
from hr_retrieval.prepare.readers.reader import (
    BATCH_ROWS,
    RawBatch,
    Rejected,
    Unreadable,
    as_json,
    check_columns,
    readable,
    sorted_out,
)
from hr_retrieval.prepare.readers.text_files import BROKEN, broken, check_encoding, check_text, decoded, text_lines
from hr_retrieval.prepare.record import split_number

_COLUMNS = ("query", "positive", "negative", "query-id", "corpus-id", "split", "relevance")


@dataclass(frozen=True)
class BeirReader:
    """`corpus.jsonl`, `queries.jsonl` and `qrels/*.tsv` as rows with the columns `query`,
    `positive`, `negative`, `query-id`, `corpus-id`, `split` and `relevance`. Leave `split` unmapped
    for a split of one's own.

    The split is the name of the file in `qrels/`: train, dev (or validation) or test. A line of it
    holds the ids of a query and a document and a score, under any header or none; or the four
    columns of TREC. A score above 0 is a positive, other scores mean a stated negative; grades of 1
    to 3 are kept where `data.columns.relevance=relevance`. The title of a document is put before
    its text. Documents without judgements are kept; queries without any, and judgements of what is
    not there, are rejected.

    Args:
        folder: the data set.
        encoding: of the files: utf-8, or another one whose line end is a single byte.
        errors: what bytes do that the encoding does not know: `strict` is an error, `replace` puts
            U+FFFD in their place, `reject` leaves the line out.
    """

    folder: str
    encoding: Any = "utf-8"
    errors: str = "strict"

    def __post_init__(self) -> None:
        object.__setattr__(self, "encoding", str(self.encoding))
        check_encoding(self.encoding, self.errors)
        if "\n".encode(self.encoding) != b"\n":
            raise UserError(
                "an encoding whose line end is a single byte", self.encoding, "Write the files anew as utf-8."
            )

    def inputs(self) -> list[Path]:
        """The files; the judgements for training first."""
        folder = Path(str(self.folder))
        files = [folder / "corpus.jsonl", folder / "queries.jsonl"]
        judgements = sorted(folder.glob("qrels/*.tsv"), key=lambda file: (split_number(file.stem) or 0, file))
        missing = [f"no {file}" for file in files if not file.is_file()]
        if missing or not judgements:
            raise UserError(
                f"corpus.jsonl, queries.jsonl and qrels/train.tsv, dev.tsv or test.tsv in {folder}",
                missing[0] if missing else "no file in qrels/",
                "Check data.reader.folder.",
            )
        return [*files, *judgements]

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """All documents first, then a row a judgement, then the queries without one."""
        corpus_file, queries_file, *judgements = self.inputs()
        check_columns(Path(str(self.folder)), _COLUMNS, wanted)
        yield from self._documents(corpus_file)
        corpus, queries = (_Lines(file, self.encoding, self.errors) for file in (corpus_file, queries_file))
        judged = np.zeros(len(queries), dtype=bool)
        for file in judgements:
            yield from self._judgements(file, corpus, queries, judged)
        unjudged = np.flatnonzero(~judged)
        for begin in range(0, len(unjudged), BATCH_ROWS):
            rows = unjudged[begin : begin + BATCH_ROWS]
            values = [{"query-id": line["_id"], "query": line.get("text")} for line in queries.read(rows)]
            reason = "no judgement in qrels/"
            rejected = [
                Rejected(str(queries_file), int(row), reason, as_json(value))
                for row, value in zip(queries.places[rows], values, strict=True)
            ]
            yield RawBatch(str(queries_file), [], [], rejected)
        yield RawBatch(str(queries_file), [], [], queries.rejected)

    def _documents(self, file: Path) -> Iterator[RawBatch]:
        numbered = enumerate(line for _, line in _identified(file, self.encoding, self.errors))
        while block := list(islice(numbered, BATCH_ROWS)):
            kept, rejected = sorted_out(file, block)
            values = [_row({"corpus-id": str(line["_id"]), "positive": _document(line)}) for _, line in kept]
            yield RawBatch(str(file), [row for row, _ in kept], values, rejected, corpus_only=True)

    def _judgements(self, file: Path, corpus: "_Lines", queries: "_Lines", judged: Mask) -> Iterator[RawBatch]:
        pieces = map(_judgement, text_lines(file, self.encoding, self.errors))
        first = list(islice(pieces, 1))
        # A header is what has no score.
        begin = int(bool(first) and isinstance(first[0], Unreadable))
        numbered = enumerate(chain(first[begin:], pieces))
        while block := list(islice(numbered, BATCH_ROWS)):
            stated, rejected = sorted_out(file, block)
            query_rows = queries.rows([query for _, (query, _, _) in stated])
            document_rows = corpus.rows([document for _, (_, document, _) in stated])
            there = (query_rows >= 0) & (document_rows >= 0)
            judged[query_rows[there]] = True
            found = zip(queries.read(query_rows[there]), corpus.read(document_rows[there]), strict=True)
            rows, values = [], []
            for (row, (query_id, document_id, score)), query_row, both in zip(stated, query_rows, there, strict=True):
                if not both:
                    lost = queries.file if query_row < 0 else corpus.file
                    content = as_json([query_id, document_id, score])
                    reason, remedy = f"its id is not in {lost.name}", f"Add the text to {lost.name}, if it is not lost."
                    rejected.append(Rejected(str(file), row, reason, content, remedy))
                    continue
                query, document = next(found)
                value = {"query-id": query_id, "query": query.get("text"), "split": file.stem}
                value |= {"corpus-id": document_id, "positive" if score > 0 else "negative": _document(document)}
                value["relevance"] = max(score, 0)
                rows.append(row)
                values.append(_row(value))
            yield RawBatch(str(file), rows, values, rejected)


class _Lines:
    """The lines of a JSON-lines file by the id that they state; only their places and hashes of the ids are held.

    Attributes:
        offsets: where each line that states an id begins, in bytes.
        places: the number of each of them in the file.
        rejected: the lines without.
    """

    def __init__(self, file: Path, encoding: str, errors: str) -> None:
        self.file, self._decoding = file, (encoding, errors)
        self.rejected: list[Rejected] = []
        offsets, places = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        keys: list[Hashes] = []
        numbered = enumerate(_identified(file, encoding, errors))
        while block := list(islice(numbered, BATCH_ROWS)):
            kept = [(row, offset, line) for row, (offset, line) in block if isinstance(line, Mapping)]
            places.append(np.array([row for row, _, _ in kept], np.int64))
            offsets.append(np.array([offset for _, offset, _ in kept], np.int64))
            keys.append(keys_of([str(line["_id"]) for _, _, line in kept]))
            self.rejected += [Rejected.of(file, row, line) for row, (_, line) in block if isinstance(line, Unreadable)]
        self.offsets, self.places = np.concatenate(offsets), np.concatenate(places)
        self.index = Index(np.concatenate([np.empty((0, 2), np.uint64), *keys]))
        again = self.index.repeated()
        if len(again):
            (line,) = self.read(again[:1])
            raise UserError(
                f"ids of {file} that stand once", f"_id {line['_id']!r} again", "Give every line its own _id."
            )

    def __len__(self) -> int:
        return len(self.offsets)

    def rows(self, names: Sequence[str]) -> Rows:
        """The line of each id, -1 for one that is not there."""
        return self.index.rows(keys_of(names))

    def read(self, rows: Rows) -> list[Mapping[str, Any]]:
        """The objects of these lines."""
        lines = []
        with self.file.open("rb") as data:
            for offset in self.offsets[rows].tolist():
                data.seek(offset)
                line = json_row(decoded(self.file, offset, data.readline(), *self._decoding))
                assert isinstance(line, Mapping)
                lines.append(line)
        return lines


def _identified(file: Path, encoding: str, errors: str) -> Iterator[tuple[int, Mapping[str, Any] | Unreadable | None]]:
    """Each line with its offset: an object with an `_id`, or why it is none."""
    check_text(file, encoding, errors)
    if packing(file):
        # Its lines are read in the order of the judgements.
        raise UserError(f"plain text in {file}", f"{packing(file)}", "Unpack it first.")
    with readable(file, "JSON lines"), file.open("rb") as data:
        offset = 0
        while line := data.readline():
            row = json_row(decoded(file, offset, line, encoding, errors))
            if isinstance(row, Mapping) and row.get("_id") is None:
                content = as_json(row)
                row = Unreadable("no _id", content, "Give every line of corpus.jsonl and queries.jsonl its _id.")
            yield offset, row
            offset = data.tell()


def _judgement(line: str) -> tuple[str, str, float] | Unreadable | None:
    """Query, document and score of a line, in three columns or in the four of TREC; `None` for a blank line."""
    if BROKEN in line:
        return broken(line)
    cells = line.rstrip("\r\n").split("\t")
    if len(cells) == 1:
        cells = line.split()
    if not cells or cells == [""]:
        return None
    try:
        query, *_, document, score = cells if len(cells) in (3, 4) else []
        if math.isfinite(number := float(score)):
            return query, document, number
    except ValueError:
        pass
    return Unreadable(
        "no query-id, corpus-id and score",
        as_json(line.rstrip("\r\n")),
        "Write these three into each line of qrels/*.tsv, with tabs between.",
    )


def _row(stated: dict[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(_COLUMNS) | stated


def _document(line: Mapping[str, Any]) -> str:
    return f"{line.get('title') or ''} {line.get('text') or ''}"
