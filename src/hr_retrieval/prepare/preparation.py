"""From raw rows to a prepared data set: `data/README.md` describes both ends.

It is longer than other files since the story stands whole: what is asked for, read, judged, split,
checked and put in an old one's place; each step itself is a call.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hr_retrieval.config.overrides import word
from hr_retrieval.data.arrays import Codes, Places
from hr_retrieval.data.command import data_command, plain_values, usual_source
from hr_retrieval.data.crossings import crossings
from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.rows import write_rows
from hr_retrieval.data.tables import SCHEMA_VERSION, SPLITS, file_hashes, fingerprint_of
from hr_retrieval.errors import UserError
from hr_retrieval.files import read_json, whole_folder, write_json
from hr_retrieval.prepare.boilerplate import check_boilerplate
from hr_retrieval.prepare.columns import Columns
from hr_retrieval.prepare.counts import counts_of
from hr_retrieval.prepare.dates import day_of
from hr_retrieval.prepare.duplicates import near_duplicates
from hr_retrieval.prepare.intake import Intake
from hr_retrieval.prepare.kept import keep_resolution, kept_intake, kept_resolution
from hr_retrieval.prepare.languages import LanguageFinder
from hr_retrieval.prepare.list_styles import propose_lists
from hr_retrieval.prepare.masked import masked_examples
from hr_retrieval.prepare.origin import changed_input, inputs_of, name_of, same_source
from hr_retrieval.prepare.readers.reader import Reader, SourceFile
from hr_retrieval.prepare.reading import Reading
from hr_retrieval.prepare.rejections import RejectedWriter
from hr_retrieval.prepare.resolution import Resolution, resolve
from hr_retrieval.prepare.split import TooFewGroupsError, check_shares
from hr_retrieval.prepare.stages import Stages
from hr_retrieval.prepare.tidy import Tidying
from hr_retrieval.prepare.ties import widest_tie
from hr_retrieval.prepare.write import texts_at, write_corpus, write_dropped, write_qrels, write_queries
from hr_retrieval.privacy.masker import Masker

log = logging.getLogger(__name__)

_SPLIT_RULE = (
    "whole components of what shares a group, a positive, a near-duplicate document or a normalised text, "
    "in the order of a hash of their smallest query and the seed"
)
_SHARED_SPLIT_RULE = (
    "whole components of what shares a group or a normalised text, documents shared by the splits, "
    "in the order of a hash of their smallest query and the seed"
)
LEAKS = ("refuse", "keep", "repair")
_TIME_RULE = "by the latest date of each query, without earlier queries that hang together with ones of a later split"
_STATED_SPLIT_RULE = "as the source states it"
# What stands in the folder of a data set, the cache of training among it.
_PARTS = {"corpus.parquet", "queries.parquet", "qrels.parquet", "rejected.parquet", "dataset.json", "rows", "tokens"}


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
        validation_share: of the queries; of those for training, if a column states the split but
            none for validation.
        test_share: of the queries, unless a column states the split.
        near_duplicates: `normalised` takes documents for one that are equal but for case,
            punctuation and space; `minhash` also those that share most of their three-word
            shingles.
        near_duplicate_threshold: the Jaccard index from which `minhash` takes two documents for
            one.
        max_rows: read so many rows only.
        shared_documents: whether a document may answer queries of several splits, as a skill does:
            the split then keeps apart the queries alone.
        html: whether HTML in the texts becomes plain text; see `Tidying`.
        mojibake: whether what was read in a wrong encoding is read in the right one, likewise.
        unicode: the Unicode form that texts are brought to, likewise.
        boilerplate: `drop` leaves out of documents the sentences that stand in more than a share of
            them, such as "equal opportunity" clauses; a document of nothing else stays.
        boilerplate_share: of the different documents, and at least five of them.
        languages: codes among which the language of each text is found that no column states.
        split: `time` trains on the past and measures on the later queries, by `columns.date`; `None`
            draws the split, or takes what a column states.
        leaks: what is done where a stated split shows validation or test queries in another split:
            `refuse` is an error, `keep` says so and leaves the split as it is published, `repair`
            leaves out what would show them: the test stays as it is, training and validation give
            way to it, and training to validation.
        mask: which personal data are masked before anything is written; see `Masker`.
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
    shared_documents: bool = False
    mask: str = "contacts"
    leaks: str = "refuse"
    html: bool = False
    mojibake: bool = False
    unicode: str | None = None
    boilerplate: str = "keep"
    boilerplate_share: float = 0.05
    languages: Sequence[str] | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        check_shares(self.validation_share, self.test_share)
        Masker(self.mask)
        self._tidying()
        check_boilerplate(self.boilerplate, self.boilerplate_share)
        self._languages()
        self._check_split()
        if self.leaks not in LEAKS:
            raise UserError(f"data.leaks to be {', '.join(LEAKS)}", repr(self.leaks), "refuse is the usual one.")
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

        What is read, part by part, and then what is resolved, is kept beside the folder: after a kill the next run
        of the same options, seed and inputs goes on from there, to the same bytes.

        Memory: about 175 bytes a pair beside one block of texts, and files of as much again;
        `minhash` needs about 3 KB a document more.

        Args:
            seed: of the split.
            replace: whether a data set of the same source at the folder may be replaced; its name,
                if it may be although it is of another source.

        Raises:
            UserError: the folder is taken, the source cannot be read, no rows or only one text are
                left, or the rows have too few groups to be split.
        """
        folder = Path(self.folder)
        self._check_replaceable(folder, replace, seed)
        inputs = self.reader.inputs()
        info = self._info(inputs, seed)
        with (
            # What a database answers has no fingerprint.
            Stages(folder, info if inputs else None) as stages,
            whole_folder(folder, bool(replace)) as partial,
        ):
            with TemporaryDirectory(dir=partial, prefix=".stages-") as work:
                info |= self._content(partial, Path(work), stages, inputs, info)
            hashes = file_hashes(partial)
            info |= {"files": hashes, "fingerprint": fingerprint_of(hashes)}
            write_rows(partial)
            write_json(partial / "dataset.json", info)
            self._check_leaks(PreparedDataset.open(partial))
        return PreparedDataset.open(folder)

    def open_or_run(self, seed: int = 1) -> PreparedDataset:
        """Open the data set, preparing it first if the folder is missing.

        Raises:
            UserError: it was prepared with other settings, another seed or from other files. Files
                that are all gone are no difference: what was prepared may be all that is kept.
        """
        folder = Path(self.folder)
        if not folder.exists() or not any(folder.iterdir()):
            return self.run(seed)
        dataset = PreparedDataset.open(folder)
        if "options" not in dataset.info:
            # Made by hand.
            return dataset
        # An option that came later than the data set was as it is by default.
        later = {
            "shared_documents": False,
            "mask": "none",
            "leaks": "keep",
            "html": False,
            "mojibake": False,
            "unicode": None,
            "boilerplate": "keep",
            "boilerplate_share": 0.05,
        }
        recorded = plain_values(later | dataset.info["options"], "data.") | {"split_seed": dataset.info["seed"]}
        wanted = plain_values(self._options(), "data.") | {"split_seed": seed}
        other = [key for key in wanted | recorded if wanted.get(key) != recorded.get(key)]
        if other:
            raise UserError(
                f"a data set prepared with {other[0]} = {wanted.get(other[0])}",
                f"{folder}, prepared with {recorded.get(other[0])}",
                f"{self._replacing(dataset.info, seed)} Or name another data.folder.",
            )
        change = changed_input(dataset.info, self.reader)
        if change:
            raise UserError(
                "the files that the data set was prepared from", change, self._replacing(dataset.info, seed)
            )
        return dataset

    def masked_examples(self) -> list[tuple[str, str, str]]:
        """Kind, before and after of some masked pieces, with the personal part hidden; none if the source is gone."""
        try:
            return masked_examples(self.reader, self.columns, Masker(self.mask))
        except UserError:
            # What was prepared may be all that is kept.
            return []

    def command(self, verb: str, seed: int = 1, *more: str) -> str:
        """A command line that prepares this data set, or trains on it."""
        own = {"name": self.name, "licence": self.licence, "source": self.source}
        return data_command(verb, Path(self.folder), own | {"options": self._options(), "seed": seed}, None, *more)

    def _tidying(self) -> Tidying:
        return Tidying(self.html, self.mojibake, self.unicode)

    def _check_split(self) -> None:
        if self.split not in (None, "time"):
            raise UserError("data.split to be time or null", repr(self.split), "null draws it, or takes columns.split.")
        dated, stated = self.columns.date is not None, self.columns.split is not None
        if (self.split == "time") != dated or (dated and stated):
            raise UserError(
                "data.split=time together with data.columns.date, and without data.columns.split",
                f"data.split={self.split}, columns.date={self.columns.date} and columns.split={self.columns.split}",
                "Say both of the first, or neither.",
            )

    def _languages(self) -> LanguageFinder | None:
        return None if self.languages is None else LanguageFinder(self.languages)

    def _info(self, inputs: Sequence[SourceFile], seed: int) -> dict[str, Any]:
        """`dataset.json`, but for what only the rows can say."""
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "source": self.source or usual_source(inputs),
            "licence": self.licence,
            **inputs_of(inputs),
            "options": self._options(),
            "seed": seed,
        }

    def _options(self) -> dict[str, Any]:
        """What the content of the data set follows from, beside the inputs and the seed; as JSON has it."""
        options = {
            key: value for key, value in asdict(self).items() if key not in ("folder", "name", "licence", "source")
        }
        options["reader"] = {"class": type(self.reader).__name__} | options["reader"]
        plain: dict[str, Any] = json.loads(json.dumps(options))
        return plain

    def _content(
        self, folder: Path, work: Path, stages: Stages, inputs: Sequence[SourceFile], info: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Write the tables, stage by stage; gives the counts and the split rule."""
        read, resolved = work / "read", work / "resolved"
        share = self.boilerplate_share if self.boilerplate == "drop" else None
        masker = Masker(self.mask)
        reading = Reading(self.reader, self.columns, masker, self._tidying(), share, self.max_rows)
        stages.fill("reading", read, lambda: reading.run(read, stages, inputs, info))
        stages.drop("part")
        intake, counts, remedies = kept_intake(read)
        with (
            RejectedWriter(folder / "rejected.parquet", masker) as rejected,
            rejected.named_in_errors(),
        ):
            rejected.take_over(read / "rejected.parquet", counts, remedies)
            propose_lists(intake.list_styles, self.columns)
            rejected.warn(intake.rows)
            stages.fill("splitting", resolved, lambda: keep_resolution(resolved, self._resolve(intake, info["seed"])))
            return self._write(folder, intake, kept_resolution(resolved), rejected)

    def _resolve(self, intake: Intake, seed: int) -> Resolution:
        """What of it is one text, one query and one pair, and the split."""

        def clusterer(places: Places) -> Codes:
            return near_duplicates(texts_at(intake.documents, places), self.near_duplicate_threshold)

        tie = widest_tie(intake, self.columns.group is not None)
        try:
            resolution = resolve(
                intake,
                self.columns.group is not None,
                self.columns.split is not None,
                clusterer if self.near_duplicates == "minhash" else None,
                self.validation_share,
                self.test_share,
                seed,
                self.shared_documents,
                self.leaks == "repair",
                self.split == "time",
            )
        except TooFewGroupsError as error:
            raise tie.named_in(error) from None
        tie.warn()
        if len(resolution.documents) < 2:
            raise UserError(
                "at least two different documents, so that one can be a negative of the other",
                "one text only",
                "Check that data.columns.positive names the column of the documents.",
            )
        return resolution

    def _write(self, folder: Path, intake: Intake, resolution: Resolution, rejected: RejectedWriter) -> dict[str, Any]:
        """Write the tables; gives the counts and the split rule."""
        write_dropped(intake, resolution, rejected)
        languages = self._languages()
        write_corpus(folder, intake.documents, resolution, languages)
        write_queries(folder, intake.queries, resolution, languages)
        rule = self._split_rule(intake, resolution)
        counts = counts_of(resolution, intake, rejected.counts)
        count, negatives = len(resolution.documents), resolution.negatives
        positives = resolution.positives, resolution.grades, resolution.weights if self.columns.weight else None
        # The ids of both tables come into memory next.
        del resolution
        write_qrels(folder, count, *positives, negatives)
        return {"counts": counts, "split_rule": rule}

    def _split_rule(self, intake: Intake, resolution: Resolution) -> str:
        """How the queries were split; what a stated split lacks is said aloud."""
        if resolution.borders:
            borders = ", ".join(f"{name} from {day_of(border)}" for name, border in resolution.borders.items())
            return f"{_TIME_RULE}: {borders} on"
        rule = _SHARED_SPLIT_RULE if self.shared_documents else _SPLIT_RULE
        if self.columns.split is None:
            return rule
        drawn = (resolution.splits == 1).any() and not (intake.splits.read() == 1).any()
        if drawn:
            log.warning(
                "The source states no validation split: it is drawn from what it gives to training "
                "(data.validation_share=%s; 0 draws none)",
                self.validation_share,
            )
        for name, number in SPLITS.items():
            if not (resolution.splits == number).any():
                log.warning("The source states no query for %s (data.columns.split=null draws a split instead)", name)
        return f"{_STATED_SPLIT_RULE}; validation from its training split: {rule}" if drawn else _STATED_SPLIT_RULE

    def _check_leaks(self, dataset: PreparedDataset) -> None:
        """Say what crosses the splits, or raise `UserError`."""
        found = crossings(dataset, self.shared_documents)
        if not found:
            return
        came = f"validation or test queries that other splits show: {'; '.join(map(str, found))}"
        if self.leaks == "refuse":
            raise UserError(
                "a split in which no text, document or group stands twice",
                came,
                "data.columns.split=null draws one; data.leaks=repair leaves out of training and validation what would show them; "
                "data.leaks=keep keeps a published split as it is.",
            )
        log.warning("There are %s", came)

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
        if (replace is True and same_source(info, self._options())) or str(replace) == name_of(folder, info):
            return
        came = f"{folder}, which holds the data set {name_of(folder, info)!r} from {info.get('source', 'a hand')}"
        raise UserError("an output folder that is new or empty", came, self._replacing(info, seed))

    def _replacing(self, info: Mapping[str, Any], seed: int) -> str:
        """The way to a data set of these settings where another one stands."""
        folder = Path(self.folder)
        if same_source(info, self._options()):
            return f"Prepare it again: {self.command('prepare', seed, 'replace=true')}"
        command = self.command("prepare", seed, word("replace", name_of(folder, info)))
        return f"Name another data.folder; or, if that data set may be lost: {command}"
