"""Data sets in the folder layout of BEIR (Thakur et al. 2021): corpus, queries and relevance judgements by id."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hr_retrieval.data.keys import Hashes, Index, keys_of
from hr_retrieval.data.raw import BATCH_ROWS, RawBatch, Rejected, check_columns, parse_line, undecodable
from hr_retrieval.errors import UserError

_COLUMNS = ("query", "positive", "negative", "query-id", "corpus-id", "split")


@dataclass(frozen=True)
class BeirReader:
    """`corpus.jsonl`, `queries.jsonl` and `qrels/{train,dev,test}.tsv` as rows with the columns `query`, `positive`,
    `negative`, `query-id`, `corpus-id` and `split`. Leave `split` unmapped for a split of one's own.

    The title of a document is put before its text. A score above 0 is a positive, 0 a stated negative. Documents
    without judgements are kept; queries without any are rejected.

    Args:
        folder: the data set.
    """

    folder: str

    def inputs(self) -> list[Path]:
        """The files."""
        folder = Path(self.folder)
        judgements = [folder / "qrels" / f"{split}.tsv" for split in ("train", "dev", "test")]
        judgements = [file for file in judgements if file.is_file()]
        files = [folder / "corpus.jsonl", folder / "queries.jsonl", *judgements]
        missing = [str(file) for file in files if not file.is_file()]
        if missing or not judgements:
            raise UserError(
                f"corpus.jsonl, queries.jsonl and qrels/train.tsv, dev.tsv or test.tsv in {folder}",
                f"no {missing[0] if missing else 'file in qrels/'}",
                "Check data.reader.folder.",
            )
        return files

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """All documents first, then a row a judgement, then the queries without one."""
        corpus_file, queries_file, *judgements = self.inputs()
        check_columns(Path(self.folder), _COLUMNS, wanted)
        yield from _documents(corpus_file)
        corpus, queries = _Lines(corpus_file), _Lines(queries_file)
        judged = np.zeros(len(queries), dtype=bool)
        for file in judgements:
            yield from _judgements(file, corpus, queries, judged)
        unjudged = np.flatnonzero(~judged)
        for begin in range(0, len(unjudged), BATCH_ROWS):
            rows = unjudged[begin : begin + BATCH_ROWS]
            values = [{"query-id": line["_id"], "query": line.get("text")} for line in queries.read(rows)]
            reason = "no judgement in qrels/"
            rejected = [
                Rejected(str(queries_file), int(row), reason, json.dumps(value, ensure_ascii=False))
                for row, value in zip(rows, values, strict=True)
            ]
            yield RawBatch(str(queries_file), [], [], rejected)


class _Lines:
    """The lines of a JSON-lines file by the id that they state; only offsets and hashes of ids are held."""

    def __init__(self, file: Path) -> None:
        self.file = file
        offsets: list[npt.NDArray[np.int64]] = []
        keys: list[Hashes] = []
        with file.open("rb") as data:
            while block := list(islice(_offsets(data), BATCH_ROWS)):
                kept = [(offset, line) for offset, line in block if line is not None]
                offsets.append(np.array([offset for offset, _ in kept], np.int64))
                keys.append(keys_of([_identifier(file, line) for _, line in kept]))
        self.offsets = np.concatenate([np.empty(0, np.int64), *offsets])
        self.index = Index(np.concatenate([np.empty((0, 2), np.uint64), *keys]))
        again = self.index.repeated()
        if len(again):
            (line,) = self.read(again[:1])
            raise UserError(
                f"ids of {file} that stand once", f"_id {line['_id']!r} again", "Give every line its own _id."
            )

    def __len__(self) -> int:
        return len(self.offsets)

    def read(self, rows: npt.NDArray[np.integer]) -> list[dict[str, Any]]:
        lines = []
        with self.file.open("rb") as data:
            for offset in self.offsets[rows].tolist():
                data.seek(offset)
                lines.append(parse_line(data.readline().decode()))
        return lines


def _offsets(data: Any) -> Iterator[tuple[int, Any]]:
    offset = data.tell()
    while line := data.readline():
        try:
            text = line.decode("utf-8-sig" if offset == 0 else "utf-8")
        except UnicodeDecodeError:
            raise undecodable(Path(data.name), "utf-8") from None
        yield offset, parse_line(text)
        offset = data.tell()


def _documents(file: Path) -> Iterator[RawBatch]:
    with file.open("rb") as data:
        lines = enumerate(line for _, line in _offsets(data))
        while block := list(islice(lines, BATCH_ROWS)):
            rows = [row for row, line in block if line is not None]
            values = [
                _row({"corpus-id": _identifier(file, line), "positive": _document(line)})
                for _, line in block
                if line is not None
            ]
            yield RawBatch(str(file), rows, values, corpus_only=True)


def _judgements(file: Path, corpus: _Lines, queries: _Lines, judged: npt.NDArray[np.bool_]) -> Iterator[RawBatch]:
    split = file.stem
    with file.open(encoding="utf-8-sig", newline="") as lines:
        records = enumerate(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
        if next(records, (0, []))[1][:1] != ["query-id"]:
            raise UserError(f"the header query-id, corpus-id, score in {file}", "another first line", "Add the header.")
        while block := list(islice(records, BATCH_ROWS)):
            block = [(row - 1, cells) for row, cells in block if cells]
            scores = [_score(file, row, cells) for row, cells in block]
            query_rows = _find(file, queries, [cells[0] for _, cells in block])
            document_rows = _find(file, corpus, [cells[1] for _, cells in block])
            judged[query_rows] = True
            values = []
            for score, query, document in zip(
                scores, queries.read(query_rows), corpus.read(document_rows), strict=True
            ):
                value = {"query-id": query["_id"], "query": query.get("text"), "split": split}
                value |= {"corpus-id": document["_id"], "positive" if score > 0 else "negative": _document(document)}
                values.append(_row(value))
            yield RawBatch(str(file), [row for row, _ in block], values)


def _row(stated: dict[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(_COLUMNS) | stated


def _document(line: Any) -> str:
    return f"{line.get('title') or ''} {line.get('text') or ''}"


def _identifier(file: Path, line: Any) -> str:
    if not isinstance(line, dict) or "_id" not in line:
        raise UserError(f"a JSON object with _id on every line of {file}", repr(line)[:200], "Mend the line.")
    return str(line["_id"])


def _find(file: Path, lines: _Lines, names: list[str]) -> npt.NDArray[np.int32]:
    rows = lines.index.rows(keys_of(names))
    if (rows < 0).any():
        name = names[int(np.flatnonzero(rows < 0)[0])]
        raise UserError(
            f"every id of {file} in {lines.file}", f"{name!r}, which is not there", "Mend one of the two files."
        )
    return rows


def _score(file: Path, row: int, cells: list[str]) -> int:
    try:
        return int(cells[2])
    except (IndexError, ValueError):
        raise UserError(
            f"query-id, corpus-id and a whole score in row {row} of {file}", "\t".join(cells), "Mend the row."
        ) from None
