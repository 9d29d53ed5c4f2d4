"""Benchmarks as folders of tables in the manner of TREC: queries, corpus and relevance judgements by id."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.clean import values_of
from hr_retrieval.prepare.readers.csv import CsvReader
from hr_retrieval.prepare.readers.downloads import files_of
from hr_retrieval.prepare.readers.reader import BATCH_ROWS, RawBatch, check_columns
from hr_retrieval.prepare.record import number_of

_COLUMNS = ("query", "positive", "negative", "query-id", "corpus-id", "split", "relevance")
# The names of the files in MELO, in the job-title similarity set, and in TalentCLEF, where they
# have no ending.
_FILES = (
    ("queries.tsv", "queries"),
    ("corpus_elements.tsv", "corpus_documents.tsv", "corpus_elements", "corpus_documents"),
    ("annotations.tsv", "qrels.tsv", "annotations", "qrels"),
)
# The columns of a table with a header that hold the text, the first that is there.
_TEXTS = ("jobtitle", "skill_aliases", "text")
_IDS = ("q_id", "c_id", "query_id", "corpus_document_id", "corpus_element_id", "id")
_TEXT_OF = ("joined", "first")


@dataclass(frozen=True)
class TrecReader:
    """`queries`, `corpus_elements` (or `corpus_documents`) and `annotations` (or `qrels`) of a folder
    as rows with the columns of `BeirReader`.

    The first two tables give each id its text, with a header (`q_id`, `c_id`, `jobtitle`,
    `skill_aliases`) or without one; a judgement is a query, a number that says nothing, a document
    and a relevance: above 0 a positive, else a stated negative. So come MELO, the job-title
    similarity set and the validation sets of TalentCLEF.

    Args:
        folder: of the benchmark.
        split: of all queries.
        aliases: what the text of a document with a list of aliases is: `joined` by commas, or the
            `first`.

    Raises:
        UserError: another way to read aliases.
    """

    folder: str
    split: str = "test"
    aliases: str = "joined"

    def __post_init__(self) -> None:
        if self.aliases not in _TEXT_OF:
            raise UserError("data.reader.aliases to be joined or first", repr(self.aliases), "Choose one of the two.")

    def inputs(self) -> list[Path]:
        """Queries, corpus and judgements."""
        return files_of(self.folder, _FILES, "a benchmark")

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """All documents first, then a row a judgement.

        Raises:
            UserError: an id that stands twice, judgements of ids without a text, or a line of other
                columns: a benchmark with less in it would be another one.
        """
        queries_file, corpus_file, judgements_file = self.inputs()
        check_columns(Path(str(self.folder)), _COLUMNS, wanted)
        queries, corpus = self._texts(queries_file), self._texts(corpus_file)
        documents = iter(enumerate(corpus.items()))
        while block := list(islice(documents, BATCH_ROWS)):
            values = [_row({"corpus-id": name, "positive": text}) for _, (name, text) in block]
            yield RawBatch(str(corpus_file), [row for row, _ in block], values, corpus_only=True)
        for batch in _table(judgements_file):
            values = []
            for line in batch.values:
                query, _, document, relevance = _cells(judgements_file, line, 4, "query, 0, document and relevance")
                for name, texts, file in ((query, queries, queries_file), (document, corpus, corpus_file)):
                    if name not in texts:
                        raise UserError(
                            f"every id of {judgements_file} in {file.name}",
                            f"{name!r}, which is not there",
                            "Take all files from the same version of the benchmark.",
                        )
                grade = max(_number(judgements_file, relevance), 0)
                kind = "positive" if grade else "negative"
                stated = {"query-id": query, "query": queries[query], "split": self.split, "relevance": grade}
                values.append(_row(stated | {"corpus-id": document, kind: corpus[document]}))
            yield RawBatch(batch.source, batch.rows, values)

    def _texts(self, file: Path) -> dict[str, str]:
        """The text of each id."""
        texts: dict[str, str] = {}
        place: int | None = None
        for batch in _table(file):
            for line in batch.values:
                cells = list(line.values())
                if place is None:
                    place = _text_column(file, cells)
                    if cells[0].casefold() in _IDS:
                        continue
                name = cells[0].strip()
                if name in texts:
                    raise UserError(f"ids of {file} that stand once", f"{name!r} again", "Take the file anew.")
                texts[name] = self._text(cells[place])
        return texts

    def _text(self, cell: str) -> str:
        if not cell.startswith("["):
            return cell
        aliases = [alias for alias in values_of(cell, "lines") if isinstance(alias, str)]
        return ", ".join(aliases[:1] if self.aliases == "first" else aliases)


def _table(file: Path) -> Iterator[RawBatch]:
    """The lines of a table, its columns called by their numbers; one line of other columns is an error."""
    reader = CsvReader(str(file), delimiter="\t", quote="", header=False)
    for batch in reader.batches(reader.names(file)):
        if batch.rejected:
            fault = batch.rejected[0]
            raise UserError(
                f"as many cells in each line of {file}", f"{fault.reason} in row {fault.row}", "Take the file anew."
            )
        yield batch


def _text_column(file: Path, first: Sequence[str]) -> int:
    """Where the texts stand, by the first line, header or not."""
    names = [name.strip().casefold() for name in first]
    if len(names) >= 2 and names[0] not in _IDS:
        return 1
    found = [names.index(name) for name in _TEXTS if name in names]
    if not found:
        raise UserError(
            f"ids and texts in {file}: two columns, or a header with {', '.join(_TEXTS)}",
            f"the columns {', '.join(map(repr, first))}",
            "Name the columns so.",
        )
    return found[0]


def _cells(file: Path, line: Any, count: int, what: str) -> list[str]:
    cells = [cell.strip() for cell in line.values()]
    if len(cells) == 1:
        cells = cells[0].split()
    if len(cells) != count:
        raise UserError(f"{what} in each line of {file}", " | ".join(cells), "Take the file anew.")
    return cells


def _number(file: Path, cell: str) -> float:
    number = number_of(cell)
    if number is None or not math.isfinite(number):
        raise UserError(f"a number as the relevance in {file}", repr(cell), "Take the file anew.")
    return number


def _row(stated: dict[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(_COLUMNS) | stated
