"""Retrieval data sets in the layout of MTEB (Muennighoff et al. 2023): corpus, queries and judgements as Parquet."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers.parquet import ParquetReader
from hr_retrieval.prepare.readers.reader import RawBatch, check_columns
from hr_retrieval.prepare.record import number_of, split_number

_COLUMNS = ("query", "positive", "negative", "query-id", "corpus-id", "split", "relevance")
# Where the judgements lie, by the age of the data set.
_JUDGEMENTS = ("qrels", "default", "data")


@dataclass(frozen=True)
class MtebReader:
    """`corpus/*.parquet`, `queries/*.parquet` and `qrels/*.parquet` (or `default`, or `data`) as rows
    with the columns of `BeirReader`, which reads the older layout of JSON lines.

    The split is the beginning of a file's name: `test-00000-of-00001.parquet`. The title of a
    document is put before its text. Texts are held in memory.

    Args:
        folder: the data set, as a snapshot of its repository.
    """

    folder: str

    def inputs(self) -> list[Path]:
        """The files: corpus, queries, judgements."""
        return [file for files in self._parts() for file in files]

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """All documents first, then a row a judgement.

        Raises:
            UserError: an id that stands twice, or a judgement of an id without a text.
        """
        corpus_files, query_files, judgement_files = self._parts()
        check_columns(Path(str(self.folder)), _COLUMNS, wanted)
        corpus, queries = _texts(corpus_files), _texts(query_files)
        for file in corpus_files:
            for batch in _read(file, ["_id"]):
                values = [
                    _row({"corpus-id": line["_id"], "positive": corpus[str(line["_id"])]}) for line in batch.values
                ]
                yield RawBatch(batch.source, batch.rows, values, corpus_only=True)
        for file in judgement_files:
            split = _split(file)
            for batch in _read(file, ["query-id", "corpus-id", "score"]):
                values = []
                for line in batch.values:
                    query, document = str(line["query-id"]), str(line["corpus-id"])
                    for name, texts, kind in ((query, queries, "queries"), (document, corpus, "corpus")):
                        if name not in texts:
                            raise UserError(
                                f"every id of {file} in {kind}/",
                                f"{name!r}, which is not there",
                                "Take all parts of the same revision.",
                            )
                    score = number_of(line["score"])
                    if score is None or not math.isfinite(score):
                        raise UserError(f"a number as the score in {file}", repr(line["score"]), "Take the file anew.")
                    grade = max(score, 0)
                    kind = "positive" if grade else "negative"
                    stated = {"query-id": query, "query": queries[query], "split": split, "relevance": grade}
                    values.append(_row(stated | {"corpus-id": document, kind: corpus[document]}))
                yield RawBatch(batch.source, batch.rows, values)

    def _parts(self) -> tuple[list[Path], list[Path], list[Path]]:
        folder = Path(str(self.folder))
        corpus, queries = (sorted(folder.glob(f"{name}/*.parquet")) for name in ("corpus", "queries"))
        judgements = next((found for name in _JUDGEMENTS if (found := sorted(folder.glob(f"{name}/*.parquet")))), [])
        parts = {"corpus": corpus, "queries": queries, " or ".join(_JUDGEMENTS): judgements}
        missing = [name for name, files in parts.items() if not files]
        if missing:
            raise UserError(
                f"Parquet files in corpus, queries and {' or '.join(_JUDGEMENTS)} of {folder}",
                f"none in {', none in '.join(missing)}",
                "Set data.reader.folder to a snapshot of the repository; data=beir reads corpus.jsonl and qrels/*.tsv.",
            )
        return corpus, queries, judgements


def _read(file: Path, columns: Sequence[str]) -> Iterator[RawBatch]:
    return ParquetReader(str(file)).batches(columns)


def _texts(files: Sequence[Path]) -> dict[str, str]:
    """The text of each id, behind its title."""
    texts: dict[str, str] = {}
    for file in files:
        titled = "title" in ParquetReader(str(file)).columns()
        for batch in _read(file, ["_id", "text", *(["title"] if titled else [])]):
            for line in batch.values:
                name = str(line["_id"])
                if name in texts:
                    raise UserError(f"ids of {file.parent} that stand once", f"{name!r} again", "Take the files anew.")
                texts[name] = f"{line.get('title') or ''} {line['text'] or ''}".strip()
    return texts


def _split(file: Path) -> str:
    name = file.stem.split("-")[0]
    if split_number(name) is None:
        raise UserError(f"judgements of train, dev or test in {file.parent}", file.name, "Name the file by its split.")
    return name


def _row(stated: dict[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(_COLUMNS) | stated
