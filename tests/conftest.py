"""What every test may use: a toy data set in the prepared layout, and a small encoder on disk."""

import copy
import gc
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import comb
from pathlib import Path
from typing import Any

# Two worker processes on few cores: one thread each is faster than sharing, and figures do not
# depend on the machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# Those that nothing here uses: what is first imported by a module of ours, under jaxtyping's hook, is
# compiled from its source in each process, since the hook looks for byte code under a name of its own.
import plotly.graph_objects  # noqa: F401
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytorch_lightning  # noqa: F401
import sentence_transformers  # noqa: F401
import sklearn  # noqa: F401
import tensorboard  # noqa: F401
import torch
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigSource

from tests import typechecks

typechecks.install()

from hr_retrieval.data.tables import SCHEMAS  # noqa: E402
from hr_retrieval.encoder.encoder import Encoder  # noqa: E402
from hr_retrieval.encoder.tiny import write_tiny  # noqa: E402

torch.set_num_threads(1)
# What is imported stays, and need not be looked through again by every collection.
gc.freeze()

TRADES = (
    "welder",
    "nurse",
    "driver",
    "cook",
    "teacher",
    "pilot",
    "baker",
    "miner",
    "tailor",
    "judge",
    "водитель",
    "повар",
)


# What a training of a tiny encoder on the toy data set in `toy` takes.
TOY = (
    "model=tiny", "data.folder=toy", "trainer.precision=32-true", "trainer.enable_progress_bar=false", "datamodule.batch_size=8",
)  # fmt: skip

# Of what goes on around a training, nothing: where the training alone is looked at.
UNMEASURED = ("zero_shot=false", "test=false", "export=false", "ranking/mixing=none", "logger=none")


def write_toy_dataset(folder: Path, groups: int = 60, mark: str = "") -> Path:
    """Queries of two groups in ten for validation and test; each group has two queries, two
    documents and a stated negative. Sets of different marks share no text and no group.
    """
    folder.mkdir(parents=True)
    corpus, queries, qrels = [], [], []
    for group in range(groups):
        trade, place = TRADES[group % len(TRADES)], group // len(TRADES)
        split = {8: "validation", 9: "test"}.get(group % 10, "train")
        for version in range(2):
            text = f"{mark}{trade} works at place {place} on task {version} with tools"
            corpus.append((f"d{group}-{version}", text, f"{mark}g{group}", None, None))
            queries.append(
                (f"q{group}-{version}", f"{mark}{trade} {place} {'senior ' * version}", f"{mark}g{group}", split, None)
            )
            qrels.append((f"q{group}-{version}", f"d{group}-{version}", 1, None))
        if groups > 1:
            qrels.append((f"q{group}-0", f"d{(group + 12) % groups}-0", 0, None))
    for name, rows in (("corpus", corpus), ("queries", queries), ("qrels", qrels)):
        columns = [
            pa.array(list(column), field.type)
            for column, field in zip(zip(*rows, strict=True), SCHEMAS[name], strict=True)
        ]
        pq.write_table(pa.Table.from_arrays(columns, schema=SCHEMAS[name]), folder / f"{name}.parquet")
    return folder


def chance(relevant: int, documents: int) -> float:
    """Expected reciprocal rank of the first of some relevant documents in an order drawn by lot."""
    ranks = range(1, documents - relevant + 2)
    return sum(comb(documents - rank, relevant - 1) / rank for rank in ranks) / comb(documents, relevant)


@contextmanager
def small_disk_at(folder: Path, size: str) -> Iterator[Path]:
    """A file system of the given size, such as `64k`, mounted at a new folder; the test is skipped
    where that is not allowed.
    """
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], capture_output=True
    ).returncode:
        pytest.skip("this user may not mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def toy_dataset(tmp_path: Path) -> Path:
    """A prepared data set of 120 queries and 120 documents."""
    return write_toy_dataset(tmp_path / "toy")


@pytest.fixture
def blind_dataset(toy_dataset: Path) -> Path:
    """The same, but no query says anything of its documents: the first ranks are not all 1."""
    table = pq.read_table(toy_dataset / "queries.parquet")
    at = table.column_names.index("text")
    texts = [f"{number} {number % 7}" for number in range(len(table))]
    pq.write_table(table.set_column(at, table.schema.field(at), [texts]), toy_dataset / "queries.parquet")
    return toy_dataset


@pytest.fixture(scope="session")
def tiny_encoder() -> Encoder:
    """An encoder with random weights; not to be trained, since all tests share it."""
    return Encoder("tiny", max_length=24).eval()


@pytest.fixture(scope="session", autouse=True)
def _each_config_file_is_parsed_once() -> Iterator[None]:
    """A command composes its config of some thirty files."""
    # Hydra loads its plugins itself: the class of that name in its module may be another one.
    (source,) = [one for one in Plugins.instance().discover(ConfigSource) if one.__name__ == "FileConfigSource"]
    load, parsed = source.load_config, {}

    def load_once(self: Any, config_path: str) -> Any:
        path = Path(self.path) / self._normalize_file_name(config_path)
        if not path.is_file():
            return load(self, config_path)
        key = self.provider, path, path.stat().st_mtime_ns
        if key not in parsed:
            parsed[key] = load(self, config_path)
        return copy.deepcopy(parsed[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "load_config", load_once)
        yield


@pytest.fixture(scope="session", autouse=True)
def _tiny_is_made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Its weights are the same each time, and hundreds of tests load it."""
    made = tmp_path_factory.mktemp("made") / "tiny"
    write_tiny(made)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hr_retrieval.encoder.folder.write_tiny", lambda folder: shutil.copytree(made, folder))
        yield


@pytest.fixture(scope="session", autouse=True)
def _nothing_waits_for_the_disk() -> Iterator[None]:
    """What a power cut would lose is no part of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


def close_log_files(kept: list[logging.Handler]) -> None:
    """Close the handlers of the root but these: Hydra leaves its file open for the rest of the process."""
    for handler in logging.root.handlers:
        if handler not in kept:
            handler.close()


Command = Callable[..., str]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Run a verb in an empty folder as `python -m` would; what it printed, with the exit status if that is not 0."""
    monkeypatch.chdir(tmp_path)
    handlers = logging.root.handlers[:]

    def run(verb: Callable[[], None], *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["verb", *arguments])
        status = 0
        close_log_files(handlers)
        try:
            verb()
        except SystemExit as end:
            status = int(end.code or 0)
        printed = "".join(capfd.readouterr())
        return f"exit {status}: {printed}" if status else printed

    yield run
    close_log_files(handlers)
    logging.root.handlers = handlers
