"""Files of all sorts to all readers: each ends in rows, rejected rows or one clear error.

FUZZED=100000 for as many files; KINDS=csv,xlsx for some readers; `make fuzz`.
"""

import bz2
import gzip
import io
import lzma
import os
import pickle
import resource
import sqlite3
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hr_retrieval.errors import UserError
from hr_retrieval.prepare import memory
from hr_retrieval.prepare.readers import resume_files
from hr_retrieval.resumes.resume import Limits
from hr_retrieval.resumes.worker import text_of
from tests.prepare.readers.fuzzed import (
    CASES,
    KINDS,
    NAMES,
    SOUND,
    Edit,
    Files,
    Row,
    edited,
    pdf_with,
    placed,
    workbook,
    zipped,
)  # fmt: skip
from tests.prepare.readers.oracle import TooSlowError, outcome

COUNT = int(os.environ.get("FUZZED", "135"))
CHOSEN = os.environ.get("KINDS", ",".join(KINDS)).split(",")
# Not on a disk, where there is such a place.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


SEEDS = Path(__file__).parent / "seeds"


@pytest.fixture(autouse=True)
def _resumes_are_read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    read_resumes_here(monkeypatch)


def read_resumes_here(patch: pytest.MonkeyPatch) -> None:
    """In this process, within the limits that their own process would have: to start one takes too long."""

    def read(content: bytes, limits: Limits) -> str:
        try:
            with _memory_of_at_most(limits.memory):
                return text_of(content, limits.pages, limits.letters, limits.memory)
        except (TooSlowError, MemoryError):
            raise UserError(
                "a file that can be read within the limits", "one that takes more", "Save it anew."
            ) from None

    patch.setattr(resume_files, "resume_text", read)


@contextmanager
def _memory_of_at_most(more: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def end_of(kind: str, files: Files, columns: int = 0, whole: bool = False) -> str:
    """What comes of the files; see `outcome`."""
    own = KINDS[kind]
    with tempfile.TemporaryDirectory(dir=MEMORY) as root:
        folder = Path(root, "source")
        folder.mkdir()
        placed(files, folder)
        return outcome(lambda: own.reader(folder), own.columns[columns % len(own.columns)], folder, whole)


def end_of_part(kind: str, content: bytes) -> str:
    """What comes of sound files, one of which, by the first byte, has the rest of these for its content."""
    own = KINDS[kind]
    parts = own.write(SOUND)
    name = sorted(parts)[content[0] % len(parts)] if content else next(iter(parts))
    return end_of(kind, own.pack(parts | {name: content[1:]}))


@pytest.mark.parametrize("seed", sorted(SEEDS.glob("*/*")), ids=lambda seed: f"{seed.parent.name}-{seed.name}")
def test_what_failed_once(seed: Path) -> None:
    end_of_part(seed.parent.name, seed.read_bytes())


@pytest.mark.parametrize("kind", CHOSEN)
def test_sound_files_end_in_rows(kind: str) -> None:
    own = KINDS[kind]
    assert end_of(kind, own.pack(own.write(SOUND))) == "rows"


@pytest.mark.parametrize("kind", CHOSEN)
def test_whatever_is_in_a_file_ends_in_rows_or_one_message(kind: str) -> None:
    own = KINDS[kind]

    @settings(
        max_examples=max(COUNT // len(CHOSEN), 1),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        print_blob=True,
        # An explanation traces every line, and what is slow then is no fault.
        phases=set(Phase) - {Phase.explain},
    )
    @given(CASES, st.integers(0, 4), st.integers(0, 15))
    def check(case: tuple[Sequence[Row], list[Edit], list[Edit]], columns: int, chance: int) -> None:
        rows, inner, outer = case
        end_of(kind, edited(own.pack(edited(own.write(rows), inner)), outer), columns, whole=chance == 0)

    check()


def _packed(name: str, pack: Callable[[bytes], bytes], content: bytes) -> Files:
    return {name: pack(content)}


def _zstd(content: bytes) -> bytes:
    return bytes(pa.compress(content, "zstd", asbytes=True))


def _noise() -> bytes:
    """What does not pack, so that as much again may unpack to a hundred times its size."""
    return os.urandom(1 << 17).hex().encode() + b"\n"


def _said(text: bytes) -> str:
    return f"<si><t>{text.decode()}</t></si>"


def _with_entities(parts: Files, name: str) -> Files:
    """The part with entities that unfold to a billion letters, and one of a file."""
    head, _, rest = parts[name].partition(b"?>")
    kind = f'<!DOCTYPE x [<!ENTITY a0 "aaaaaaaaaa">{_ENTITIES}<!ENTITY b SYSTEM "file:///etc/passwd">]>'
    return parts | {
        name: head + b"?>" + kind.encode() + rest.replace(b"<t>", b"<t>&a9;&b;").replace(b"<w:t>", b"<w:t>&a9;&b;")
    }


def _wide_pickle() -> bytes:
    """A frame of a billion columns without a row, forged of a smaller one."""
    few, many = (struct.pack("<i", count) for count in (70_000, 10**9))
    frame = pd.DataFrame(np.empty((0, 70_000), dtype=object), columns=pd.RangeIndex(70_000))
    return pickle.dumps(frame).replace(few, many)


def _dictionary(rows: int) -> bytes:
    """A table whose rows share one long text."""
    sink = io.BytesIO()
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["a" * (1 << 20)]))
    pq.write_table(pa.table(dict.fromkeys(NAMES, texts)), sink, compression="zstd")
    return sink.getvalue()


def _hollow(text: str) -> Files:
    """A SQLite base whose texts are made as they are read."""
    base = sqlite3.connect(":memory:")
    others = ", ".join(f"'a' AS \"{name}\"" for name in ("group", "relevance", "weight", "date", "language"))
    base.execute(f"CREATE VIEW jobs AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) "
                 f"SELECT {text} AS name, 'b' AS description, {others} FROM n")  # fmt: skip
    return {"f.db": base.serialize()}


_HEADER = "<row>" + "".join(f'<c t="inlineStr"><is><t>{name}</t></is></c>' for name in NAMES) + "</row>"
_ENTITIES = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9))
# Small files that unpack, or unfold, to much: what each is, its reader and its files.
BOMBS: dict[str, tuple[str, Callable[[], Files]]] = {
    "one cell, gzip": ("gzip", lambda: _packed("f.csv.gz", gzip.compress, b'name,description\na,"' + b"x" * (1 << 25))),
    "one cell, bzip2": ("bzip2", lambda: _packed("f.csv.bz2", bz2.compress, b"name,description\na," + b"x" * (1 << 25))),
    "one line of emoji": (
        "gzip",
        lambda: _packed("f.csv.gz", gzip.compress, b"name,description\na," + os.urandom(1 << 19).hex().encode() + "😀".encode() * (1 << 23)),
    ),
    "one line, xz": ("xz", lambda: _packed("f.jsonl.xz", lzma.compress, b'{"name":"' + b"x" * (1 << 25))),
    "lists in a line": ("zstd", lambda: _packed("f.jsonl.zst", _zstd, _noise() + b'{"name":"a","description":[' + b"[]," * (1 << 22) + b"0]}")),
    "lists in lines": (
        "zstd", lambda: _packed("f.jsonl.zst", _zstd, _noise() + (b'{"name":"a","description":[' + b"[]," * (1 << 18) + b"0]}\n") * 16),
    ),
    "lists in an array": ("zstd", lambda: _packed("f.jsonl.zst", _zstd, b'[{"name":"%b"},[' % _noise().strip() + b"[]," * (1 << 22) + b"0]]")),
    "cells of a row": ("xlsx", lambda: {"f.xlsx": zipped(workbook(_HEADER + "<row>" + "<c/>" * 6_000_000 + "</row>", _said(_noise())))}),
    "shared strings": ("xlsx", lambda: {"f.xlsx": zipped(workbook(_HEADER, _said(_noise()) + "<si/>" * 5_000_000))}),
    "a long string, shared": (
        "xlsx",
        lambda: {"f.xlsx": zipped(workbook(_HEADER + '<row><c t="s"><v>0</v></c><c t="s"><v>0</v></c></row>' * 200,
                                           _said(_noise() * 2)))},
    ),
    "entities, Excel": ("xlsx", lambda: {"f.xlsx": zipped(_with_entities(workbook(_HEADER), "xl/worksheets/sheet1.xml"))}),
    "entities, Word": ("docx", lambda: {"f.docx": zipped(_with_entities(KINDS["docx"].write(SOUND), "word/document.xml"))}),
    "a stream packed twice": (
        "pdf", lambda: {"f.pdf": pdf_with(zlib.compress(zlib.compress(b"BT (a) Tj ET " * 7_000_000, 9), 9), b"/Filter [/FlateDecode /FlateDecode]")},
    ),
    "one text in many rows": ("parquet", lambda: {"f.parquet": _dictionary(100_000)}),
    "a wide frame": ("pickle", lambda: {"f.pkl": _wide_pickle()}),
    "long texts of a view": ("sql", lambda: _hollow("hex(zeroblob(400000000))")),
    "many texts of a view": ("sql", lambda: _hollow("hex(zeroblob(1000000))")),
}  # fmt: skip


# Those that take no second.
QUICK = (
    "one cell, gzip", "one cell, bzip2", "one line, xz", "entities, Excel", "entities, Word", "one text in many rows", "long texts of a view",
    "many texts of a view",
)  # fmt: skip


# What runs in a collection of garbage may be what finds no memory.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", BOMBS if COUNT >= 10_000 else QUICK)
def test_what_unfolds_to_much_stays_small(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Less than for others, to be there sooner.
    monkeypatch.setattr(memory, "_FREE", 64 << 20)
    kind, make = BOMBS[name]
    files = make()
    assert sum(map(len, files.values())) <= 2 << 20
    end_of(kind, files)
