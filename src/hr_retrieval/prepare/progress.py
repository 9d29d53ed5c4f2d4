"""How many rows were read so far, on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hr_retrieval.prepare.readers.reader import RawBatch


@contextmanager
def progress() -> Iterator[Any]:
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
