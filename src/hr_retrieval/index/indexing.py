"""Documents into an index: new ones, other ones, none twice."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from filelock import FileLock, Timeout

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.wording import Kind
from hr_retrieval.errors import UserError
from hr_retrieval.files import check_vacant, readable_write_errors
from hr_retrieval.index.block import blocks
from hr_retrieval.index.corpus import Corpus
from hr_retrieval.retrieval.mixing import Composition
from hr_retrieval.runs.directory import open_encoder
from hr_retrieval.runs.ranking import chosen_mixing
from hr_retrieval.store.exact import MOST, check_mixable, mix, mixed_file
from hr_retrieval.store.manifest import FILE, Manifest
from hr_retrieval.store.snapshot import snapshot_file, write_snapshot
from hr_retrieval.store.table import PassageTable, schema

log = logging.getLogger(__name__)

_TYPES = {"text": pa.string(), "number": pa.float64(), "yes/no": pa.bool_()}
# What holds the index for one writer.
_LOCK = ".lock"
# Seconds between two lines of progress.
_TOLD = 5.0


def make(
    output: Path,
    encoder: str | None,
    corpus: Corpus | None,
    side: str = "document",
    overlap: int | None = 32,
    lexical: str | None = "words",
    mixing: Composition | None = None,
    place: str | None = None,
) -> Manifest:
    """Index a corpus into a new folder, or go on with what was stopped there.

    Args:
        encoder: a run directory or whatever `Encoder` loads.
        side: as what the encoder reads the documents, `document` or `query`.
        overlap: tokens that neighbouring passages share; `None` reads the beginning of each text.
        lexical: what hybrid search counts, `words` or `ngrams`; `None` for neither.
        mixing: at ranking time; `None` takes what the run or the folder has chosen.
        place: of the table, an address in an object store that LanceDB knows, such as
            `s3://bucket/vacancies`; `None` for the folder. All else stays in the folder.

    Raises:
        UserError: the folder or the place holds something else, another process writes to it, the corpus lacks
            ids or texts, or the encoder is none.
    """
    for name, given, known in (("side", side, ("document", "query")), ("lexical", lexical, ("words", "ngrams", None))):
        if given not in known:
            raise UserError(f"{name} to be {', '.join(map(str, known))}", repr(given), "Choose one of them.")
    if encoder is None or corpus is None:
        missing = "encoder" if encoder is None else "corpus"
        raise UserError(f"a value for {missing}", "none", f"Add {missing}=... to the command.")
    if (output / FILE).is_file() and Manifest.read(output).table is not None:
        raise UserError(
            "an output folder that is new, or whose index is not whole yet",
            f"{output}, which holds a whole one",
            "Add or replace documents in it with change=true, or name another folder.",
        )
    if not (output / FILE).is_file() and {path.name for path in output.glob("*")} != {_LOCK}:
        check_vacant(output)
    with _writing(output):
        loaded = _loaded(encoder)
        kind: Kind = "document" if side == "document" else "query"
        if overlap is not None:
            loaded.passages(["a"], kind, overlap)
        wanted = Manifest(
            encoder=str(Path(encoder).resolve()) if Path(encoder).exists() else encoder,
            fingerprint=loaded.embedding_fingerprint(),
            dimension=loaded.embedding_dimension,
            side=kind,
            overlap=overlap,
            lexical=lexical,
            mixing=chosen_mixing(Path(encoder), loaded) if mixing is None else mixing,
            metadata=corpus.metadata,
            source=corpus.name,
            place=place,
        )
        begun = (output / FILE).is_file()
        if begun:
            _check_same(Manifest.read(output), wanted, output)
        count = corpus.check()
        columns = schema(wanted.dimension, {name: _TYPES[kind] for name, kind in wanted.metadata.items()})
        if not begun and place is not None:
            _check_unused(PassageTable(place, columns), place)
        wanted.write(output)
        table = PassageTable(wanted.table_place(output), columns)
        _fill(table, loaded, wanted, corpus, count)
        return _finish(table, loaded, wanted, output)


def change(output: Path, encoder: str | None, corpus: Corpus | None, delete: Sequence[str]) -> Manifest:
    """Add documents to an index, replace those of the same ids, and take some out; the others are not touched.

    Searches find what was there before until all is done.

    Args:
        encoder: where the encoder of the index lies now; `None` for where it lay then.
        delete: ids.

    Raises:
        UserError: it is no whole index, another process writes to it, the encoder is another one,
            the columns differ, or an id to delete is not there.
    """
    with _writing(output, new=False):
        manifest = Manifest.read(output)
        if manifest.table is None:
            raise UserError(
                f"a whole index in {output}", "one whose making was stopped", "Run the command that made it once more."
            )
        table = PassageTable(manifest.table_place(output))
        names = [str(own) for own in delete]
        missing = set(names) - set(table.documents(names, ["document_id"]))
        if missing:
            raise UserError(
                "ids of documents of the index to delete",
                ", ".join(sorted(missing)[:5]),
                "Leave out what is not there.",
            )
        loaded = _loaded(encoder or manifest.encoder)
        manifest.check_encoder(loaded.embedding_fingerprint(), output, encoder or manifest.encoder)
        if corpus is not None:
            if dict(corpus.metadata) != dict(manifest.metadata):
                raise UserError(
                    f"the metadata columns of the index: {_listed(manifest.metadata)}",
                    f"{_listed(corpus.metadata)} in {corpus.name}",
                    "Name the same columns: columns.metadata=[...].",
                )
            _fill(table, loaded, manifest, corpus, corpus.check())
        if names:
            if len(names) == table.counts()[0]:
                raise UserError("at least one document to stay", "all to be deleted", "Remove the folder instead.")
            table.delete(names)
        return _finish(table, loaded, manifest, output)


def _fill(table: PassageTable, encoder: Encoder, manifest: Manifest, corpus: Corpus, count: int) -> None:
    """Encode what is not there yet, or with another content; each block of documents is one commit."""
    known = table.digests()
    started = told = time.monotonic()
    done = encoded = 0
    for block in blocks(corpus, known, encoder, manifest):
        if block.encoded:
            rows = block.rows(encoder, manifest, table.schema)
            if block.replaces:
                table.replace(rows)
            else:
                table.add(rows)
        done, encoded = done + block.read, encoded + block.encoded
        if time.monotonic() - told > _TOLD or done == count:
            told = time.monotonic()
            log.info(
                "%s of %s documents; %s encoded, %.0f a second",
                f"{done:,}", f"{count:,}", f"{encoded:,}", encoded / max(told - started, 1e-9),
            )  # fmt: skip


def _finish(table: PassageTable, encoder: Encoder, manifest: Manifest, output: Path) -> Manifest:
    documents, passages = table.counts()
    if manifest.mixing.parts:
        check_mixable(manifest.mixing, documents, passages)
    table.tidy(manifest.lexical, approximate=passages > MOST)
    version = table.version
    if passages <= MOST:
        write_snapshot(output, version, table.read(["begin", "end", "text", *manifest.metadata, "vector", "sentences"]))
    if manifest.mixing.parts:
        log.info("ranked with mixing: %s", manifest.mixing)
        mix(manifest, version, encoder, output)
    whole = manifest.with_table(version, documents, passages)
    whole.write(output)
    # A kill may have left a file that was being written.
    for path in (*output.glob("mixed-*.npy"), *output.glob("passages-*.arrow"), *output.glob(".*.partial")):
        if path not in (mixed_file(output, version), snapshot_file(output, version)):
            path.unlink()
    log.info("%s documents in %s passages are in %s", f"{documents:,}", f"{passages:,}", output)
    return whole


def _check_unused(table: PassageTable, place: str) -> None:
    documents, _ = table.counts()
    if documents:
        raise UserError(f"no documents in {place}", f"{documents:,} of another index", "Name another place.")


def _check_same(before: Manifest, now: Manifest, output: Path) -> None:
    """Raise `UserError` if what was begun in the folder was begun otherwise; mixing may differ, as it comes last."""
    for name in ("fingerprint", "side", "overlap", "lexical", "metadata", "place"):
        was, given = getattr(before, name), getattr(now, name)
        if was != given:
            shown = "the encoder" if name == "fingerprint" else name
            raise UserError(
                f"{shown} as the index in {output} was begun with: {was}",
                str(given),
                "Go on with the same, or name a new output folder.",
            )


def _loaded(name: str) -> Encoder:
    encoder, _ = open_encoder(name)
    return encoder.to("cuda" if torch.cuda.is_available() else "cpu")


def _listed(metadata: Any) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in metadata.items()) or "none"


@contextmanager
def _writing(output: Path, new: bool = True) -> Iterator[None]:
    """Hold the index for one writer."""
    if not new:
        Manifest.read(output)
    with readable_write_errors(output):
        output.mkdir(parents=True, exist_ok=True)
        lock = FileLock(output / _LOCK)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise UserError(
                f"one writer on the index in {output}",
                "another process that writes to it",
                "Wait until it is done, or end it.",
            ) from None
    try:
        yield
    finally:
        lock.release()
