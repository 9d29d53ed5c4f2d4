"""A preparation that is killed between its stages goes on from there, to the same bytes."""

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.prepare import reading, stages
from hr_retrieval.prepare.columns import Columns
from hr_retrieval.prepare.intake import take_in
from hr_retrieval.prepare.preparation import Preparation
from hr_retrieval.prepare.readers import json_lines
from hr_retrieval.prepare.readers.json_lines import JsonLinesReader
from hr_retrieval.prepare.readers.reader import RawBatch
from hr_retrieval.prepare.stages import Stages

# A process that ends itself by SIGKILL once a stage is kept.
_KILLED = """
import os, signal, sys
from pathlib import Path
from hr_retrieval.prepare import reading
from hr_retrieval.prepare.readers import json_lines
from hr_retrieval.prepare.stages import Stages
from tests.prepare.test_stages import preparation

json_lines.BATCH_ROWS, reading.PART = 7, 20
fill = Stages.fill

def until(self, stage, folder, make):
    fill(self, stage, folder, make)
    if stage == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)

Stages.fill = until
preparation(Path(sys.argv[2])).run()
"""


def preparation(folder: Path, name: str = "made", **options: Any) -> Preparation:
    """All that stages carry: rejected rows, negatives that contradict, masks, languages, a date, boilerplate."""
    rows = [
        {
            "a": f"title {n}",
            "p": f"text {n}, call +7 912 345-67-{n % 50:02}.\nWe offer tea.",
            "n": f"text {n}" if n % 3 else f"other {n}",
            "d": f"2026-01-{n % 28 + 1:02}" if n % 11 else "soon",
        }
        for n in range(90)
    ]
    source = folder / "rows.jsonl"
    if not source.exists():
        source.write_text(
            "".join(json.dumps(row) + "\n" for row in [*rows, {"a": "x", "p": None, "n": None, "d": None}])
        )
    return Preparation(
        JsonLinesReader(str(source)), str(folder / name), "made", columns=Columns("a", "p", "n", date="d"),
        split="time", boilerplate="drop", near_duplicates="minhash", **options,
    )  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    """Of each file but the one that tells when the tables were written."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "rows.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def kept(folder: Path) -> list[str]:
    """The stages that lie beside the data set."""
    return sorted(path.name.rpartition("-")[2] for path in folder.glob(".made.stage-*"))


def test_a_run_after_a_kill_goes_on_to_the_same_bytes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    whole = contents(preparation(tmp_path, "whole").run().folder)
    assert caplog.messages == [line for line in caplog.messages if "stopped" not in line]
    parts = [f"part{number}" for number in range(5)]
    for stage, expected in (
        ("part0", parts[:1]),
        ("part2", parts[:3]),
        ("reading", [*parts, "reading"]),
        ("splitting", ["reading", "splitting"]),
    ):
        run = subprocess.run(
            [sys.executable, "-c", _KILLED, stage, str(tmp_path)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert run.returncode == -signal.SIGKILL, run.stderr
        assert kept(tmp_path) == expected
        assert not (tmp_path / "made").exists()
    assert contents(preparation(tmp_path).run().folder) == whole
    assert sum("stopped" in line for line in caplog.messages) == 2
    assert kept(tmp_path) == []


@pytest.mark.parametrize("part", [1, 7, 8, 50, 90])
def test_parts_of_any_size_make_one_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    whole = preparation(tmp_path, "whole").run()
    monkeypatch.setattr(json_lines, "BATCH_ROWS", 7)
    monkeypatch.setattr(reading, "PART", part)
    assert contents(preparation(tmp_path).run().folder) == contents(whole.folder)


def test_parts_that_are_kept_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "BATCH_ROWS", 7)
    monkeypatch.setattr(reading, "PART", 20)
    taken: list[int] = []

    def take(batches: Iterator[RawBatch], *arguments: Any) -> Any:
        if len(taken) == 2:
            raise KeyboardInterrupt
        block = list(batches)
        taken.append(sum(len(batch.rows) for batch in block))
        return take_in(iter(block), *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(reading, "take_in", take)
        with pytest.raises(KeyboardInterrupt):
            preparation(tmp_path).run()
        assert kept(tmp_path) == ["part0", "part1"]
        taken[:] = [-1]
        with pytest.raises(KeyboardInterrupt):
            preparation(tmp_path).run()
    assert taken == [-1, 21]
    assert kept(tmp_path) == ["part0", "part1", "part2"]


def stopped(own: Preparation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop a run once it has read."""

    def stop(self: Preparation, *arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Preparation, "_resolve", stop)
        with pytest.raises(KeyboardInterrupt):
            own.run()


@pytest.mark.parametrize("change", ["options", "seed", "source", "program"])
def test_other_options_another_source_or_program_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, change: str
) -> None:
    caplog.set_level(logging.INFO)
    own = preparation(tmp_path)
    stopped(own, monkeypatch)
    assert kept(tmp_path) == ["reading"]
    if change == "source":
        with Path(str(own.reader.inputs()[0])).open("a") as file:
            file.write('{"a": "y", "p": "z", "n": null, "d": "2026-01-01"}\n')
    if change == "program":
        monkeypatch.setattr(stages, "program", lambda: ["another"])
    data = (replace(own, test_share=0.2) if change == "options" else own).run(2 if change == "seed" else 1)
    assert not any("stopped" in line for line in caplog.messages)
    assert kept(tmp_path) == []
    assert data.info["seed"] == (2 if change == "seed" else 1)


def test_what_is_at_fault_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="queries for"):
        preparation(tmp_path, test_share=0.5, validation_share=0.49).run()
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def rewritten(file: Path) -> None:
    file.write_text("{}\n" + file.read_text())


@pytest.mark.parametrize(("change", "said"), [(rewritten, "has changed"), (Path.unlink, "is gone")])
def test_a_local_source_that_changes_while_it_is_read(
    tmp_path: Path, change: Callable[[Path], None], said: str
) -> None:
    @dataclass(frozen=True)
    class Changing(JsonLinesReader):
        def batches(self, wanted: Any) -> Iterator[RawBatch]:
            yield from super().batches(wanted)
            change(Path(str(self.path)))

    own = preparation(tmp_path)
    with pytest.raises(UserError, match=rf"rows\.jsonl, which {said} meanwhile"):
        replace(own, reader=Changing(str(tmp_path / "rows.jsonl"))).run()
    assert not [path for path in tmp_path.iterdir() if path.name != "rows.jsonl"]


def test_a_stage_that_another_run_removes_is_made(tmp_path: Path) -> None:
    made = []

    def make() -> None:
        made.append(1)
        (tmp_path / f"{len(made)}" / "file").write_text("content")

    with Stages(tmp_path / "out", {"seed": 1}) as stages:
        stages.fill("reading", tmp_path / "1", make)
        stages.fill("reading", tmp_path / "other", make)
        assert (tmp_path / "other" / "file").read_text() == "content"
        assert made == [1]
        # The twin that finished first.
        with Stages(tmp_path / "out", {"seed": 1}):
            pass
        stages.fill("reading", tmp_path / "2", make)
    assert made == [1, 1]
    with Stages(tmp_path / "out", None) as stages:
        stages.fill("reading", tmp_path / "3", make)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "3", "other"]
