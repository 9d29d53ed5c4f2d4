"""From raw rows to a prepared data set: `data/README.md` describes both ends."""

import json
import logging
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hr_retrieval.config.build import build
from hr_retrieval.data.dataset import (
    ROW_GROUP,
    SCHEMA_VERSION,
    SCHEMAS,
    SPLIT_NAMES,
    PreparedDataset,
    column_batches,
    file_hashes,
    fingerprint_of,
    rejections,
    take_rows,
    write_rows,
)
from hr_retrieval.data.keys import Codes, Distinct, Hashes, Places
from hr_retrieval.errors import UserError
from hr_retrieval.files import read_json, sha256_of, whole_folder, write_json
from hr_retrieval.prepare.clean import Columns
from hr_retrieval.prepare.commands import data_command, plain_values, spoken, usual_source
from hr_retrieval.prepare.duplicates import near_duplicates
from hr_retrieval.prepare.intake import Intake, Occurrences, RejectedWriter, limited, take_in
from hr_retrieval.prepare.readers.files import RawBatch, Reader, Rejected
from hr_retrieval.prepare.resolution import Pairs, Resolution, resolve
from hr_retrieval.prepare.split import TooFewGroupsError, check_shares

log = logging.getLogger(__name__)

# Pairs that are looked at together.
_BLOCK = 1 << 22

_SPLIT_RULE = (
    "whole components of what shares a group, a positive, a near-duplicate document or a normalised text, "
    "in the order of a hash of their smallest query and the seed"
)
_STATED_SPLIT_RULE = "as the source states it"
# The share of the rows from which their rejection is an alarm.
_MANY_REJECTED = 0.05
# Texts that hang together by one, from which that is worth saying; and the share of all from which it is an alarm.
_LEAST_TIE, _COMMON_TIE = 3, 0.2
_TIE_REMEDY = "If it says nothing, add it to data.columns.missing."
_STYLES = {
    "brackets": "as Python and JSON write them",
    "lines": "one text a line",
    "|": "with | between",
    ";": "with ; between",
    ",": "with commas between",
}
# What stands in the folder of a data set, the cache of training among it.
_PARTS = {
    "corpus.parquet",
    "queries.parquet",
    "qrels.parquet",
    "rejected.parquet",
    "dataset.json",
    "rows",
    "tokens",
}


@dataclass(frozen=True)
class Preparation:
    """How a data set is prepared; `run` does it.

    Args:
        reader: where the rows come from.
        folder: the prepared data set.
        name: of the data set.
        licence: under which the texts may be used, for `dataset.json`.
        source: where they come from, likewise; by default the files.
        columns: which columns hold what.
        validation_share: of the queries; of those for training, if a column states the split but none for validation.
        test_share: of the queries, unless a column states the split.
        near_duplicates: `normalised` takes documents for one that are equal but for case, punctuation and space;
            `minhash` also those that share most of their three-word shingles.
        near_duplicate_threshold: the Jaccard index from which `minhash` takes two documents for one.
        max_rows: read so many rows only.
    """

    reader: Reader
    folder: str
    name: str
    licence: str = "unknown"
    source: str | None = None
    columns: Columns = field(default_factory=Columns)
    validation_share: float = 0.1
    test_share: float = 0.1
    near_duplicates: str = "normalised"
    near_duplicate_threshold: float = 0.8
    max_rows: int | None = None

    def __post_init__(self) -> None:
        check_shares(self.validation_share, self.test_share)
        if self.near_duplicates not in ("normalised", "minhash"):
            raise UserError(
                "near_duplicates to be 'normalised' or 'minhash'", repr(self.near_duplicates), "Choose one of the two."
            )
        if not 0 < self.near_duplicate_threshold <= 1:
            raise UserError(
                "near_duplicate_threshold above 0 and up to 1",
                str(self.near_duplicate_threshold),
                "A usual one is 0.8.",
            )
        if self.max_rows is not None and self.max_rows < 1:
            raise UserError("max_rows of at least 1, or null", str(self.max_rows), "null reads all rows.")

    def run(self, seed: int = 1, replace: bool | str = False) -> PreparedDataset:
        """Write the data set, whole or not at all, and open it; what it replaces is kept until then.

        Memory: about 175 bytes a pair beside one block of texts, and files of as much again; `minhash` needs about 3 KB a document more.

        Args:
            seed: of the split.
            replace: whether a data set of the same source at the folder may be replaced; its name, if it may be although
                it is of another source.

        Raises:
            UserError: the folder is taken, the source cannot be read, no rows or only one text are left, or the rows
                have too few groups to be split.
        """
        folder = Path(self.folder)
        self._check_replaceable(folder, replace, seed)
        inputs = self.reader.inputs()
        with whole_folder(folder, bool(replace)) as partial:
            info = self._info(inputs, seed) | self._write(partial, seed)
            hashes = file_hashes(partial)
            info |= {"files": hashes, "fingerprint": fingerprint_of(hashes)}
            write_rows(partial)
            write_json(partial / "dataset.json", info)
        if info["counts"]["leaks"]:
            log.warning(
                "%d validation or test queries of the stated split share a text or a group with another split",
                info["counts"]["leaks"],
            )
        return PreparedDataset.open(folder)

    def open_or_run(self, seed: int = 1) -> PreparedDataset:
        """Open the data set, preparing it first if the folder is missing.

        Raises:
            UserError: it was prepared with other settings, another seed or from other files. Files that are all gone are no
                difference: what was prepared may be all that is kept.
        """
        folder = Path(self.folder)
        if not folder.exists() or not any(folder.iterdir()):
            return self.run(seed)
        dataset = PreparedDataset.open(folder)
        if "options" not in dataset.info:
            # Made by hand.
            return dataset
        recorded = plain_values(dataset.info["options"], "data.") | {"split_seed": dataset.info["seed"]}
        wanted = plain_values(self._options(), "data.") | {"split_seed": seed}
        other = [key for key in wanted | recorded if wanted.get(key) != recorded.get(key)]
        if other:
            raise UserError(
                f"a data set prepared with {other[0]} = {wanted.get(other[0])}",
                f"{folder}, prepared with {recorded.get(other[0])}",
                f"{self._replacing(dataset.info, seed)} Or name another data.folder.",
            )
        change = self._changed_input(dataset.info)
        if change:
            raise UserError(
                "the files that the data set was prepared from", change, self._replacing(dataset.info, seed)
            )
        return dataset

    def command(self, verb: str, seed: int = 1, *more: str) -> str:
        """A command line that prepares this data set, or trains on it."""
        own = {"name": self.name, "licence": self.licence, "source": self.source}
        return data_command(verb, Path(self.folder), own | {"options": self._options(), "seed": seed}, None, *more)

    def _check_replaceable(self, folder: Path, replace: bool | str, seed: int) -> None:
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return
        strange = [folder] if not folder.is_dir() else [path for path in folder.iterdir() if path.name not in _PARTS]
        if strange or not all((folder / f"{table}.parquet").exists() for table in ("corpus", "queries", "qrels")):
            raise UserError(
                "a folder that is new, empty or a prepared data set",
                f"{folder}, which holds {strange[0].name if strange else 'something else'}",
                "Name another data.folder: nothing but a prepared data set is replaced.",
            )
        info = read_json(folder / "dataset.json") if (folder / "dataset.json").exists() else {}
        if (replace is True and self._same_source(info)) or str(replace) == _name_of(folder, info):
            return
        came = f"{folder}, which holds the data set {_name_of(folder, info)!r} from {info.get('source', 'a hand')}"
        raise UserError("an output folder that is new or empty", came, self._replacing(info, seed))

    def _replacing(self, info: Mapping[str, Any], seed: int) -> str:
        """The way to a data set of these settings where another one stands."""
        folder = Path(self.folder)
        if self._same_source(info):
            return f"Prepare it again: {self.command('prepare', seed, 'replace=true')}"
        command = self.command("prepare", seed, f"replace={spoken(_name_of(folder, info))}")
        return f"Name another data.folder; or, if that data set may be lost: {command}"

    def _same_source(self, info: Mapping[str, Any]) -> bool:
        """Whether a data set was prepared from what this one's reader reads: by the same kind of reader, in the same place."""
        recorded = info.get("options", {}).get("reader", {})
        return bool(recorded) and _place(recorded) == _place(self._options()["reader"])

    def _changed_input(self, info: Mapping[str, Any]) -> str | None:
        """How the files of the source differ from those that were read; `None` if they do not, or if all are gone."""
        recorded, stamps = info["inputs"], info["input_stamps"]
        try:
            found = {str(path): path for path in self.reader.inputs()}
        except UserError:
            return None
        for name in recorded:
            if name not in found:
                return f"{name} is gone"
        for name, path in found.items():
            if name not in recorded:
                return f"{name} is new"
            if _stamp(path) != stamps[name] and sha256_of(path) != recorded[name]:
                return f"{name} has changed since"
        return None

    def _write(self, folder: Path, seed: int) -> dict[str, Any]:
        """Write the tables; gives the counts and the split rule."""
        with (
            RejectedWriter(folder / "rejected.parquet") as rejected,
            TemporaryDirectory(dir=folder, prefix=".intake-") as spool,
            _progress() as follow,
            _naming(rejected),
        ):
            batches = follow(limited(self.reader.batches(self.columns.names()), self.max_rows))
            intake = take_in(batches, self.columns, Path(spool), rejected)
            self._propose_lists(intake)
            _check_enough(intake)
            _warn_of_rejections(intake, rejected)
            tie = max(_ties(intake, self.columns.group is not None), key=lambda tie: tie.count)
            try:
                resolution = self._resolve(intake, seed)
            except TooFewGroupsError as error:
                if tie.count < _LEAST_TIE:
                    raise
                raise UserError(error.expected, f"{error.got}; {tie}", f"{_TIE_REMEDY} {error.remedy}") from None
            if tie.count >= max(_LEAST_TIE, _COMMON_TIE * tie.of):
                log.warning("%s. %s", tie, _TIE_REMEDY)
            _check_documents(resolution)
            _reject_negatives(intake, resolution, rejected)
            _write_corpus(folder, intake.documents, resolution)
            _write_queries(folder, intake.queries, resolution)
            rule = self._split_rule(intake, resolution)
            counts = _counts(resolution, rejected.counts, intake.skipped)
            count, pairs = len(resolution.documents), {1: resolution.positives, 0: resolution.negatives}
            # The ids of both tables come into memory next.
            del resolution
            _write_qrels(folder, count, pairs)
        return {"counts": counts, "split_rule": rule}

    def _split_rule(self, intake: Intake, resolution: Resolution) -> str:
        """How the queries were split; what a stated split lacks is said aloud."""
        if self.columns.split is None:
            return _SPLIT_RULE
        drawn = (resolution.splits == 1).any() and not (intake.splits.read() == 1).any()
        if drawn:
            log.warning(
                "The source states no validation split: it is drawn from what it gives to training "
                "(data.validation_share=%s; 0 draws none)",
                self.validation_share,
            )
        for number, name in enumerate(SPLIT_NAMES):
            if not (resolution.splits == number).any():
                log.warning("The source states no query for %s (data.columns.split=null draws a split instead)", name)
        return (
            f"{_STATED_SPLIT_RULE}; validation from its training split: {_SPLIT_RULE}" if drawn else _STATED_SPLIT_RULE
        )

    def _propose_lists(self, intake: Intake) -> None:
        """Say which columns look as if each cell held several texts."""
        for name, style in intake.list_styles.items():
            # Of two columns with two separators each must be said.
            known = self.columns.separators | {name: "lines" if style == "brackets" else style}
            signs = list(known.values())
            keys = {"lists": list(known), "separator": signs if len(set(signs)) > 1 else signs[0]}
            log.warning(
                "Many cells of the column %r look like lists (%s), and each is read as one text. To read each part as a "
                "text of its own: %s",
                name,
                _STYLES[style],
                " ".join(shlex.quote(f"data.columns.{key}={spoken(value)}") for key, value in keys.items()),
            )

    def _resolve(self, intake: Intake, seed: int) -> Resolution:
        def clusterer(places: Places) -> Codes:
            return near_duplicates(_texts_at(intake.documents, places), self.near_duplicate_threshold)

        return resolve(
            intake,
            self.columns.group is not None,
            self.columns.split is not None,
            clusterer if self.near_duplicates == "minhash" else None,
            self.validation_share,
            self.test_share,
            seed,
        )

    def _options(self) -> dict[str, Any]:
        """What the content of the data set follows from, beside the inputs and the seed; as JSON has it."""
        options = {
            key: value for key, value in asdict(self).items() if key not in ("folder", "name", "licence", "source")
        }
        options["reader"] = {"class": type(self.reader).__name__} | options["reader"]
        plain: dict[str, Any] = json.loads(json.dumps(options))
        return plain

    def _info(self, inputs: list[Path], seed: int) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "source": self.source or usual_source(inputs),
            "licence": self.licence,
            "inputs": {str(path): sha256_of(path) for path in inputs},
            "input_stamps": {str(path): _stamp(path) for path in inputs},
            "options": self._options(),
            "seed": seed,
        }


def prepared_dataset(data: Mapping[str, Any], seed: int) -> PreparedDataset:
    """Open the data set that a config describes (see `Preparation`), preparing it first if need be."""
    return configured(data).open_or_run(seed)


def configured(data: Mapping[str, Any]) -> Preparation:
    """The `Preparation` that a config describes.

    Raises:
        UserError: a setting is out of range.
    """
    preparation: Preparation = build(data, _convert_="all")
    return preparation


@contextmanager
def _naming(rejected: RejectedWriter) -> Iterator[None]:
    """Let errors say how many rows were rejected before them, and what helps against the commonest reason."""
    try:
        yield
    except UserError as error:
        if not rejected.counts:
            raise
        remedy = rejected.remedies[rejected.counts.most_common(1)[0][0]]
        got = f"{error.got}; {rejections(rejected.counts)}"
        raise UserError(error.expected, got, f"{remedy} {error.remedy}".strip()) from None


def _warn_of_rejections(intake: Intake, rejected: RejectedWriter) -> None:
    """Say what helps where many rows were rejected."""
    reason, count = max(rejected.counts.items(), key=lambda item: item[1], default=("", 0))
    if rejected.remedies.get(reason) and count >= _MANY_REJECTED * (intake.rows + rejected.counts.total()):
        log.warning("%s. %s", rejections(rejected.counts), rejected.remedies[reason])


def _check_enough(intake: Intake) -> None:
    if len(intake.positives.read()) == 0:
        raise UserError("rows with an anchor and a positive", "none", "Check that data.columns.* name what holds them.")


@dataclass(frozen=True)
class _Tie:
    """A text or a group, and how many different texts hang together by it.

    Attributes:
        what: query, document or group.
        count: of the documents of a query, the queries of a document or of a group.
        of: how many there are.
    """

    what: str
    text: str
    count: int
    of: int

    def __str__(self) -> str:
        others = "documents" if self.what == "query" else "queries"
        return f"the {self.what} {self.text[:80]!r} alone goes with {self.count:,} of {self.of:,} {others}"


def _ties(intake: Intake, grouped: bool) -> Iterator[_Tie]:
    """The query with the most documents, the document with the most queries and, if stated, the group with the most."""
    pairs = intake.positives.read()
    sides = ((intake.queries, 0), (intake.documents, 1))
    codes = [Distinct.of(side.norms.read()).codes for side, _ in sides]
    numbers = [codes[at][pairs[:, at]].astype(np.int64) for at in (0, 1)]
    yield _tie("query", intake.queries, codes[0], numbers[0], numbers[1], "text")
    yield _tie("document", intake.documents, codes[1], numbers[1], numbers[0], "text")
    if grouped:
        groups = Distinct.of(intake.queries.groups.read()).codes
        yield _tie("group", intake.queries, groups, groups.astype(np.int64), codes[0].astype(np.int64), "group")


def _tie(what: str, occurrences: Occurrences, codes: Codes, owners: Pairs, others: Pairs, column: str) -> _Tie:
    """The code with the most different others, and what stands where it first occurs.

    Args:
        codes: of the occurrences.
        owners: codes that go with `others`, pair by pair.
    """
    width = int(others.max()) + 1
    pairs = np.unique(owners * width + others)
    counts = np.bincount(pairs // width)
    most = int(counts.argmax())
    place = np.flatnonzero(codes == most)[:1]
    with pq.ParquetFile(occurrences.file) as file:
        text = take_rows(file, place, [column]).column(0)[0].as_py()
    return _Tie(what, str(text), int(counts[most]), len(np.unique(pairs % width)))


def _check_documents(resolution: Resolution) -> None:
    if len(resolution.documents) < 2:
        raise UserError(
            "at least two different documents, so that one can be a negative of the other",
            "one text only",
            "Check that data.columns.positive names the column of the documents.",
        )


def _texts_at(occurrences: Occurrences, places: Places) -> Iterator[list[str]]:
    for _, batch in _chosen(occurrences, places):
        yield batch.column("text").to_pylist()


def _chosen(occurrences: Occurrences, places: Places) -> Iterator[tuple[slice, pa.RecordBatch]]:
    """The occurrences at ascending places, block by block, and which part of `places` each block is."""
    begin = done = 0
    for batch in column_batches(occurrences.file, ["text", "id", "group"]):
        upto = int(np.searchsorted(places, begin + batch.num_rows))
        if upto > done:
            yield slice(done, upto), batch.take(pa.array(places[done:upto] - begin))
        begin, done = begin + batch.num_rows, upto


def _write_corpus(folder: Path, occurrences: Occurrences, resolution: Resolution) -> None:
    documents, clusters = resolution.documents, resolution.clusters
    sizes = np.bincount(clusters)
    first = np.zeros(len(sizes), np.int32)
    # Of repeated indices the last assignment stays: in reversed order, the first document of each cluster.
    first[clusters[::-1]] = np.arange(len(clusters), dtype=np.int32)[::-1]
    with _writer(folder, "corpus") as write:
        for rows, batch in _chosen(occurrences, documents.places):
            names = documents.norms[first[clusters[rows]]].tolist()
            duplicates = [
                f"t{name:016x}" if size > 1 else None
                for name, size in zip(names, sizes[clusters[rows]].tolist(), strict=True)
            ]
            write([*_identified(batch, documents.groups[rows], documents.hashes[rows], "d"), duplicates])


def _write_queries(folder: Path, occurrences: Occurrences, resolution: Resolution) -> None:
    queries = resolution.queries
    with _writer(folder, "queries") as write:
        for rows, batch in _chosen(occurrences, queries.places):
            splits = [SPLIT_NAMES[number] for number in resolution.splits[rows]]
            write([*_identified(batch, queries.groups[rows], queries.hashes[rows], "q"), splits])


def _identified(batch: pa.RecordBatch, group_hashes: Hashes, hashes: Hashes, letter: str) -> list[Any]:
    """Ids, texts and groups of a block; ids that the source does not state are made from hashes, so that they are stable."""
    ids = [
        f"{letter}{number:016x}" if name is None else name
        for name, number in zip(batch.column("id").to_pylist(), hashes.tolist(), strict=True)
    ]
    groups = [
        name if number else None
        for name, number in zip(batch.column("group").to_pylist(), group_hashes.tolist(), strict=True)
    ]
    return [pa.array(ids, pa.string()), batch.column("text"), groups]


def _write_qrels(folder: Path, count: int, pairs: Mapping[int, Pairs]) -> None:
    """Write `query * count + document` pairs by relevance."""
    query_ids, document_ids = _ids(folder, "queries", "query_id"), _ids(folder, "corpus", "document_id")
    with _writer(folder, "qrels") as write:
        for relevance, numbers in pairs.items():
            for begin in range(0, len(numbers), ROW_GROUP):
                owners, members = np.divmod(numbers[begin : begin + ROW_GROUP], count)
                ids = [
                    names.take(pa.array(rows)).cast(pa.string())
                    for names, rows in ((query_ids, owners), (document_ids, members))
                ]
                write([*ids, np.full(len(owners), relevance, np.int8)])


def _ids(folder: Path, table: str, column: str) -> pa.LargeStringArray:
    blocks = [
        batch.column(0).cast(pa.large_string()) for batch in column_batches(folder / f"{table}.parquet", [column])
    ]
    return pa.concat_arrays(blocks)


def _reject_negatives(intake: Intake, resolution: Resolution, rejected: RejectedWriter) -> None:
    if not resolution.dropped:
        return
    pairs, source_rows = intake.negatives.read(), intake.negative_rows.read()
    with pq.ParquetFile(intake.queries.file) as queries, pq.ParquetFile(intake.documents.file) as documents:
        for reason, chosen in resolution.dropped.items():
            for begin in range(0, len(chosen), ROW_GROUP):
                part = chosen[begin : begin + ROW_GROUP]
                anchors, negatives = (
                    take_rows(file, pairs[part, side].astype(np.int64), ["text"]).column(0).to_pylist()
                    for side, file in ((0, queries), (1, documents))
                )
                rows = [intake.source_of(row) for row in source_rows[part].tolist()]
                rejected.write(
                    [
                        Rejected(
                            source,
                            row,
                            reason,
                            json.dumps({"anchor": anchor, "negative": negative}, ensure_ascii=False),
                        )
                        for (source, row), anchor, negative in zip(rows, anchors, negatives, strict=True)
                    ]
                )


def _counts(resolution: Resolution, rejected: Mapping[str, int], skipped: Mapping[str, int]) -> dict[str, Any]:
    by_split = {
        name: {
            "queries": int((resolution.splits == number).sum()),
            "documents": _documents_of(resolution, number),
            "positives": _pairs_of(resolution, resolution.positives, number),
            "negatives": _pairs_of(resolution, resolution.negatives, number),
        }
        for number, name in enumerate(SPLIT_NAMES)
    }
    sizes = np.bincount(resolution.clusters)
    return {
        "queries": len(resolution.queries),
        "documents": len(resolution.documents),
        "positives": len(resolution.positives),
        "negatives": len(resolution.negatives),
        "splits": by_split,
        "merged": resolution.merged,
        "near_duplicate_documents": int(sizes[sizes > 1].sum()),
        "skipped_values": dict(skipped),
        "rejected": dict(rejected),
        "leaks": resolution.leaks,
    }


def _in_split(resolution: Resolution, pairs: Pairs, split: int) -> Iterator[Pairs]:
    """The pairs of a split, block by block."""
    count = len(resolution.documents)
    for begin in range(0, len(pairs), _BLOCK):
        block = pairs[begin : begin + _BLOCK]
        yield block[resolution.splits[block // count] == split]


def _pairs_of(resolution: Resolution, pairs: Pairs, split: int) -> int:
    return sum(len(block) for block in _in_split(resolution, pairs, split))


def _documents_of(resolution: Resolution, split: int) -> int:
    """How many documents answer a query of the split."""
    count = len(resolution.documents)
    answers = np.zeros(count, dtype=bool)
    for block in _in_split(resolution, resolution.positives, split):
        answers[block % count] = True
    return int(answers.sum())


@contextmanager
def _writer(folder: Path, table: str) -> Iterator[Any]:
    """A function that adds a block of columns to a table; small blocks are gathered into row groups."""
    schema = SCHEMAS[table]
    waiting: list[pa.RecordBatch] = []
    with pq.ParquetWriter(folder / f"{table}.parquet", schema, compression="zstd") as file:

        def flush() -> None:
            file.write_table(pa.Table.from_batches(waiting, schema), row_group_size=ROW_GROUP)
            waiting.clear()

        def write(columns: list[Any]) -> None:
            waiting.extend(pa.table(columns, schema=schema).to_batches())
            if sum(batch.num_rows for batch in waiting) >= ROW_GROUP:
                flush()

        yield write
        flush()


@contextmanager
def _progress() -> Iterator[Any]:
    """Shows how many rows were read, on a terminal only; yields a function that follows an iterator of batches."""
    columns = (SpinnerColumn(), TextColumn("reading: {task.completed:,} rows"), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)

        def follow(batches: Iterator[RawBatch]) -> Iterator[RawBatch]:
            for batch in batches:
                yield batch
                bar.advance(task, len(batch.rows))

        yield follow


def _stamp(path: Path) -> list[int]:
    """Size and time of change: as long as they stay, the content is taken to be the same."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _place(reader: Mapping[str, Any]) -> tuple[Any, ...]:
    """The kind of a reader and where it reads."""
    where = reader.get("path", reader.get("folder"))
    several = where if isinstance(where, list) else [] if where is None else [where]
    return reader.get("class"), *(os.path.abspath(str(name)) for name in several)


def _name_of(folder: Path, info: Mapping[str, Any]) -> str:
    return str(info.get("name", folder.name))
