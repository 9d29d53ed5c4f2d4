"""The rows of a source, read part by part, so that a run after a kill goes on behind the last whole part."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hr_retrieval.data.tables import column_batches
from hr_retrieval.errors import UserError
from hr_retrieval.files import read_json, write_json
from hr_retrieval.prepare.boilerplate import Sentences, swept
from hr_retrieval.prepare.columns import Columns
from hr_retrieval.prepare.intake import joined, take_in
from hr_retrieval.prepare.kept import keep_intake, kept_intake
from hr_retrieval.prepare.list_styles import propose_lists
from hr_retrieval.prepare.memory import within_memory
from hr_retrieval.prepare.origin import check_unchanged
from hr_retrieval.prepare.progress import progress
from hr_retrieval.prepare.readers.reader import RawBatch, Reader, SourceFile
from hr_retrieval.prepare.rejections import RejectedWriter
from hr_retrieval.prepare.stages import Stages
from hr_retrieval.prepare.tidy import Tidying
from hr_retrieval.privacy.masker import Masker

# Rows of a part, which take a minute or two with masks.
PART = 250_000
_ENDED = "part.json"


@dataclass(frozen=True)
class Reading:
    """What of a source is read, and what is done to its texts.

    Args:
        boilerplate_share: of the documents, in more of which a sentence must stand to be left out
            of all; `None` leaves none out.
        max_rows: read so many rows only; `None` for all.
    """

    reader: Reader
    columns: Columns
    masker: Masker
    tidying: Tidying
    boilerplate_share: float | None
    max_rows: int | None

    def run(self, folder: Path, stages: Stages, inputs: Sequence[SourceFile], info: Mapping[str, Any]) -> None:
        """Write all that the rows say to `folder`, as `kept_intake` reads it.

        Args:
            info: what the inputs were when it began.

        Raises:
            UserError: the source cannot be read, changes meanwhile, or has no row with an anchor and
                a positive.
        """
        sizes = [stamp[0] for stamp in info["input_stamps"].values()]
        parts: list[Path] = []
        with progress() as follow, TemporaryDirectory(dir=folder.parent, prefix="parts-") as work:
            source = _Source(_limited(follow(self.reader.batches(self.columns.names())), self.max_rows))
            while not parts or not read_json(parts[-1] / _ENDED)["ended"]:
                part = Path(work, f"part{len(parts)}")
                stages.fill(part.name, part, partial(self._take_part, part, parts[-1:], source, sizes))
                parts.append(part)
            check_unchanged(inputs, info)
            self._join(folder, parts)

    def _join(self, folder: Path, parts: Sequence[Path]) -> None:
        with RejectedWriter(folder / "rejected.parquet", self.masker) as rejected, rejected.named_in_errors():
            intakes = []
            for part in parts:
                intake, counts, remedies = kept_intake(part)
                rejected.take_over(part / "rejected.parquet", counts, remedies)
                intakes.append(intake)
            intake = joined(intakes, folder)
            if len(intake.positives.read()) == 0:
                propose_lists(intake.list_styles, self.columns)
                remedy = "Check that data.columns.* name what holds them."
                raise UserError("rows with an anchor and a positive", "none", remedy)
            if self.boilerplate_share is not None:
                sentences = Sentences.at(folder)
                for part in parts:
                    sentences.take_over(Sentences.at(part))
                intake = swept(intake, folder, self.boilerplate_share, sentences)
            keep_intake(folder, intake, rejected)

    def _take_part(self, folder: Path, last: Sequence[Path], source: "_Source", sizes: Sequence[int | None]) -> None:
        """Write what the rows behind the last part say."""
        with RejectedWriter(folder / "rejected.parquet", self.masker) as rejected, rejected.named_in_errors():
            before = None
            for part in last:
                before, rejected.counts, rejected.remedies = kept_intake(part)
            lines = self.boilerplate_share is not None
            with within_memory(sizes):
                for part in last:
                    source.go_to(read_json(part / _ENDED)["batches"])
                intake = take_in(
                    source.part(), self.columns, folder, rejected, self.masker, before, self.tidying, lines
                )
            if lines:
                texts = column_batches(intake.documents.file, ["text"])
                Sentences.at(folder).add(batch.column(0).to_pylist() for batch in texts)
            keep_intake(folder, intake, rejected)
        write_json(folder / _ENDED, {"batches": source.given, "ended": source.ended})


class _Source:
    """The batches of a source, given part by part; none is read before it is asked for.

    Attributes:
        given: how many batches were given, or passed over.
        ended: whether there are no more.
    """

    def __init__(self, batches: Iterator[RawBatch]) -> None:
        self._batches, self.given, self.ended = batches, 0, False

    def go_to(self, number: int) -> None:
        """Pass over the batches before one."""
        for _ in range(number - self.given):
            self._next()

    def part(self) -> Iterator[RawBatch]:
        """The next batches, of about `PART` rows."""
        rows = 0
        while rows < PART and (batch := self._next()) is not None:
            rows += len(batch.rows) + len(batch.rejected)
            yield batch

    def _next(self) -> RawBatch | None:
        batch = next(self._batches, None)
        self.ended = batch is None
        self.given += not self.ended
        return batch


def _limited(batches: Iterator[RawBatch], rows: int | None) -> Iterator[RawBatch]:
    """The batches up to so many readable rows; documents without anchors are not counted."""
    left = sys.maxsize if rows is None else rows
    for batch in batches:
        if batch.corpus_only or len(batch.rows) < left:
            yield batch
            left -= 0 if batch.corpus_only else len(batch.rows)
            continue
        kept = batch.rows[:left]
        rejected = [fault for fault in batch.rejected if fault.row < kept[-1]]
        yield RawBatch(batch.source, kept, batch.values[:left], rejected)
        return
