"""What a reader may do with a file: rows, rejected rows with a reason, or one clear error, within bounds."""

import os
import re
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.columns import Columns
from hr_retrieval.prepare.intake import take_in
from hr_retrieval.prepare.memory import within_memory
from hr_retrieval.prepare.preparation import Preparation
from hr_retrieval.prepare.readers.reader import RawBatch, Reader
from hr_retrieval.prepare.rejections import RejectedWriter
from hr_retrieval.prepare.tidy import Tidying
from hr_retrieval.privacy.masker import Masker

# Of the processor, and of memory beside what was held before.
SECONDS, BYTES = 10.0, 1 << 30
# Letters of a message that a person still reads.
LONGEST = 4000
_FOREIGN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_RUNS = {
    "os.system",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "subprocess.Popen",
    "pty.spawn",
    "socket.connect",
}
_CHANGES = {
    "os.mkdir",
    "os.remove",
    "os.rmdir",
    "os.rename",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "shutil.rmtree",
}
_watched: dict[str, Any] = {}


class TooSlowError(BaseException):
    """No `Exception`: readers make messages of those."""


def outcome(reader: Callable[[], Reader], columns: Columns, folder: Path, whole: bool) -> str:
    """Read all that a reader gives, as a preparation does, in bounds; `rows`, `rejected` or the error.

    Args:
        folder: where the files are, which stay; nothing is written but into `work` beside it.
        whole: whether the data set is prepared to its end, and not its rows read alone.

    Raises:
        AssertionError: what a reader may not do.
    """
    work = folder.parent / "work"
    work.mkdir()
    before = _contents(folder)
    with _in_bounds(work), warnings.catch_warnings():
        # Of openpyxl, about parts of a workbook that it leaves out.
        warnings.simplefilter("ignore")
        try:
            result = _prepared(reader(), columns, work) if whole else _taken_in(reader(), columns, work)
        except UserError as error:
            result = str(error)
            assert len(result) <= LONGEST, f"a message of {len(result):,} letters: {result[:200]}"
            assert not (found := _FOREIGN.search(result)), f"{found!r} in a message: {result[:200]!a}"
    assert _contents(folder) == before, "files of the source were changed"
    return result


def _prepared(reader: Reader, columns: Columns, work: Path) -> str:
    Preparation(
        reader, str(work / "made"), "fuzzed", columns=columns, validation_share=0.0, test_share=0.0, html=True, mojibake=True,
        unicode="NFC", boilerplate="drop", leaks="keep", split="time" if columns.date else None,
    ).run()  # fmt: skip
    return "rows"


def _taken_in(reader: Reader, columns: Columns, work: Path) -> str:
    seen: Counter[str] = Counter()

    def counted() -> Iterator[RawBatch]:
        for batch in reader.batches(columns.names()):
            assert len(batch.rows) == len(batch.values)
            assert all(row.reason for row in batch.rejected)
            seen.update(rows=len(batch.rows), rejected=len(batch.rejected))
            yield batch

    sizes = [file.stat().st_size for file in map(Path, map(str, reader.inputs()))]
    with RejectedWriter(work / "rejected.parquet", Masker()) as rejected, within_memory(sizes):
        intake = take_in(counted(), columns, work, rejected, Masker(), tidying=Tidying(True, True, "NFC"), lines=True)
    assert intake.rows + rejected.counts.total() == seen.total(), "a row that is neither used nor rejected"
    return "rows" if intake.rows else "rejected"


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def _in_bounds(work: Path) -> Iterator[None]:
    """Fail what takes too long or too much, writes beside the folder or runs something."""
    faults: list[str] = []
    begin = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    _watched.update(work=str(work), faults=faults, temporary=tempfile.tempdir)
    tempfile.tempdir = str(work)
    handler = signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    slow = None
    try:
        yield
    except TooSlowError as error:
        slow = "".join(traceback.format_tb(error.__traceback__)[-4:])
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
        tempfile.tempdir = _watched["temporary"]
        _watched.clear()
    assert slow is None, f"more than {SECONDS:g} seconds:\n{slow}"
    grown = _resident("VmHWM") - begin
    assert grown < BYTES, f"{grown >> 20} MB"
    assert not faults, faults


def _stop(*_: object) -> None:
    raise TooSlowError


def _resident(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) << 10


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watched:
        return
    if event in _RUNS:
        _watched["faults"].append(f"{event} {arguments!r:.200}")
    elif event in _CHANGES or (event == "open" and _is_writing(arguments)):
        path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else ""
        # What is relative to a folder that is open is below it.
        within = not os.path.isabs(path) and event != "open" and set(arguments[1:]) - {-1, None}
        place = os.path.abspath(path)
        if path and not within and not place.startswith(_watched["work"]) and "__pycache__" not in place:
            _watched["faults"].append(f"{event} {place}")


def _is_writing(arguments: tuple[Any, ...]) -> bool:
    flags = arguments[2] or 0
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND))


sys.addaudithook(_hook)
