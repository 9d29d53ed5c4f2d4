"""A preparation of many rows that is killed and started again: time, memory, what it went on from, and its bytes.

    python -m benchmarks.prepare_growth --rows 10000000 [--kill-at .3 reading splitting .5] [--compare]

Made vacancies as JSON lines, from a seed: a title of two to five words of which many recur, a text of
9 to 60 words, one in ten of them with contacts, one in two hundred without a title, and a clause that
many share. Prepared with masks and boilerplate. Each of `--kill-at` is one kill by SIGKILL: at a
share of the rows read (a number below 1), once a stage is kept (`reading`, `splitting`), or while
the tables are written (`writing`). The run after the last one goes on to its end; of a part of the
rows that is kept, it passes the rows over. The resident memory of the process and its children is
looked at each second; the curves are in `<folder>/memory.csv`. `--compare` prepares once more
without a kill, and compares all bytes.
Disk: about 3 GB a million rows for as long as it runs. No part of it touches other processes.
"""

import argparse
import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hr_retrieval.files import whole_file
from hr_retrieval.markdown import markdown_table

_WORDS, _TITLES, _BLOCK = 50_000, 5_000, 20_000
STAGES = ("reading", "splitting", "writing")


def main() -> None:
    """Write the rows, run, kill, run on, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--kill-at", nargs="*", default=[".3", *STAGES])
    parser.add_argument("--folder", type=Path, default=Path("/tmp/prepare_growth"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    source = arguments.folder / f"rows-{arguments.rows}-{arguments.seed}.jsonl"
    if arguments.run:
        _prepare(source, arguments.run, arguments.rows)
        return
    if not source.exists():
        write_rows(source, arguments.rows, arguments.seed)
    made = arguments.folder / "made"
    runs = [_run(arguments, made, point) for point in arguments.kill_at]
    runs.append(_run(arguments, made, None))
    if arguments.compare:
        runs.append(_run(arguments, arguments.folder / "whole", None))
    _write_curves(arguments.folder / "memory.csv", runs)
    rows = [["run", "killed at", "went on from", "seconds", "rows read", "peak MB", "disk MB"]]
    rows += [
        [str(number), run.killed_at, run.went_on_from, f"{run.seconds:.0f}", f"{run.read:,}", f"{run.peak:.0f}", f"{run.disk:.0f}"]
        for number, run in enumerate(runs, 1)
    ]  # fmt: skip
    print(f"{arguments.rows:,} rows, {source.stat().st_size / 2**20:,.0f} MB\n")
    print(markdown_table(rows, text=(1, 2)))
    print(f"\n{_said(made)}")
    if arguments.compare:
        other = different(made, arguments.folder / "whole")
        print(f"other bytes than without a kill: {', '.join(other) or 'none'}")


@dataclass
class Run:
    """One process from its start to its end.

    Attributes:
        curve: seconds since the start, and MB.
        read: rows that it read, as it says.
        disk: MB of the most that lay beside the source.
    """

    killed_at: str
    went_on_from: str
    seconds: float = 0.0
    read: int = 0
    disk: float = 0.0
    curve: list[tuple[float, float]] = field(default_factory=list)

    @property
    def peak(self) -> float:
        """MB."""
        return max((memory for _, memory in self.curve), default=0.0)


def write_rows(path: Path, count: int, seed: int) -> None:
    """The vacancies, block by block; equal for a seed."""
    draw = np.random.default_rng(seed)
    letters = np.array(list("абвгдежзиклмнопрстуabcdefghiklmnoprstu"))
    words = np.array(["".join(draw.choice(letters, length)) for length in draw.integers(3, 10, _WORDS)])
    titles = np.array([" ".join(draw.choice(words, length)) for length in draw.integers(2, 6, _TITLES)])
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        for begin in range(0, count, _BLOCK):
            block = min(_BLOCK, count - begin)
            # A few titles have most of the rows; one row in three has one of its own.
            common = titles[np.minimum(draw.zipf(1.3, block), _TITLES) - 1]
            lengths, chances = draw.integers(9, 61, block), draw.random((block, 4))
            drawn = words[draw.integers(0, _WORDS, lengths.sum())]
            for row, (end, length) in enumerate(zip(np.cumsum(lengths), lengths, strict=True)):
                text = " ".join(drawn[end - length : end])
                if chances[row, 0] < 0.1:
                    text += (
                        f". Contact: user{begin + row}@example.org, +7 912 {row % 1000:03}-{row % 100:02}-{row % 90:02}"
                    )
                if chances[row, 1] < 0.3:
                    text += ".\nМы предлагаем чай и печенье."
                title = f"{common[row]} {words[row % 999]}" if chances[row, 2] < 1 / 3 else common[row]
                value = {"title": title if chances[row, 3] > 0.005 else None, "text": text}
                file.write(json.dumps(value, ensure_ascii=False) + "\n")


def different(one: Path, other: Path) -> list[str]:
    """The files that are not equal, or are in one folder alone, but for the one that tells when tables were written."""
    digests = []
    for folder in (one, other):
        files = [path for path in folder.rglob("*") if path.is_file() and path.name != "rows.json"]
        digests.append({str(path.relative_to(folder)): _digest(path) for path in files})
    return sorted(name for name in digests[0] | digests[1] if digests[0].get(name) != digests[1].get(name))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _prepare(source: Path, folder: Path, rows: int) -> None:
    """Prepare, and say on standard output how many rows were read, and which stage begins."""
    from hr_retrieval.prepare import preparation
    from hr_retrieval.prepare.columns import Columns
    from hr_retrieval.prepare.readers.json_lines import JsonLinesReader
    from hr_retrieval.prepare.readers.reader import RawBatch
    from hr_retrieval.prepare.stages import Stages

    class Counted(JsonLinesReader):
        def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
            read = 0
            for batch in super().batches(wanted):
                yield batch
                read += len(batch.rows) + len(batch.rejected)
                print(f"read {read}", flush=True)

    fill = Stages.fill

    def told(self: Stages, stage: str, place: Path, make: Callable[[], None]) -> None:
        made: list[bool] = []

        def noted() -> None:
            made.append(True)
            make()

        fill(self, stage, place, noted)
        print(f"{'made' if made else 'kept'} {stage}", flush=True)

    Stages.fill = told  # type: ignore[method-assign, assignment]
    own = preparation.Preparation(
        Counted(str(source)), str(folder), "growth", columns=Columns("title", "text"), boilerplate="drop", boilerplate_share=0.1,
    )  # fmt: skip
    own.run(replace=True)


def _run(arguments: argparse.Namespace, folder: Path, point: str | None) -> Run:
    command = [sys.executable, "-m", "benchmarks.prepare_growth", "--rows", str(arguments.rows), "--seed", str(arguments.seed),
               "--folder", str(arguments.folder), "--run", str(folder)]  # fmt: skip
    run, begin = Run(point or "-", "nothing"), time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(run, process.pid, begin, arguments.folder, ended))
    watch.start()
    assert process.stdout is not None
    kept: list[str] = []
    for line in process.stdout:
        what, _, which = line.strip().partition(" ")
        if what == "read":
            run.read = int(which)
        elif what == "kept":
            kept.append(which)
        if point is not None and _is_at(point, what, which, arguments.rows):
            if point == "writing":
                time.sleep(min(2.0, arguments.rows / 1e6))
            process.send_signal(signal.SIGKILL)
            break
    process.stdout.close()
    status = process.wait()
    ended.set()
    watch.join()
    parts = [stage for stage in kept if stage not in STAGES]
    told = [*([f"{len(parts)} parts"] if parts else []), *(stage for stage in kept if stage in STAGES)]
    run.seconds, run.went_on_from = time.monotonic() - begin, " and ".join(told) or "nothing"
    if point is not None and status == 0:
        run.killed_at = f"{point}, but had ended"
    elif status not in (0, -signal.SIGKILL):
        raise SystemExit(f"a run ended with {status}")
    print(f"run to {run.killed_at}: {run.seconds:.0f} s, {run.peak:.0f} MB", file=sys.stderr, flush=True)
    return run


def _is_at(point: str, what: str, which: str, rows: int) -> bool:
    if point == "writing":
        return which == "splitting" and what in ("made", "kept")
    if point in STAGES:
        return which == point and what in ("made", "kept")
    return what == "read" and int(which) >= float(point) * rows


def _watch(run: Run, process: int, begin: float, folder: Path, ended: threading.Event) -> None:
    while True:
        run.curve.append((time.monotonic() - begin, _resident(process)))
        run.disk = max(run.disk, _disk(folder))
        if ended.wait(1.0):
            return


def _resident(process: int) -> float:
    """MB of a process and all below it; 0 for one that has ended."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGESIZE") / 2**20 + sum(_resident(int(child)) for child in children)


def _disk(folder: Path) -> float:
    """MB of what preparations hold below a folder; files that are linked twice count once."""
    sizes: dict[int, int] = {}
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                found = os.stat(os.path.join(place, name))
            except OSError:
                continue
            if place != str(folder):
                sizes[found.st_ino] = found.st_blocks * 512
    return sum(sizes.values()) / 2**20


def _write_curves(path: Path, runs: list[Run]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["run", "seconds", "mb"])
        for number, run in enumerate(runs, 1):
            writer.writerows([number, f"{seconds:.1f}", f"{memory:.1f}"] for seconds, memory in run.curve)


def _said(folder: Path) -> str:
    counts = json.loads((folder / "dataset.json").read_text())["counts"]
    return f"{counts['queries']:,} queries, {counts['documents']:,} documents, rejected: {counts['rejected']}, masked: {counts['masked']}"


if __name__ == "__main__":
    main()
