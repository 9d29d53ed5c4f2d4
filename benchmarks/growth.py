"""How time and memory grow from ten thousand to ten million training pairs.

    python -m benchmarks.growth [--sizes 10000 100000 1000000 10000000] [--folder /tmp/growth]

Made pairs of a title and a description of nine words each, `size` of each, in one Parquet file.
Three steps a size, each in a process of its own: `prepare`; `tokens`, the first opening of the
prepared set, which tokenises every text once; `batch`, what every later run does before its first
training step: open the set, list the pairs, take the first batch of 64. `peak` is the largest
resident memory of that process, of which clean pages of mapped files are a part; `anonymous` is
what it holds of its own, at its highest and at the end: this is what must not grow with the data.
Disk: about 0.6 GB a million pairs.
"""

import argparse
import json
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

from hr_retrieval.markdown import markdown_table

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
_WORDS = 50_000
_BLOCK = 100_000


def main() -> None:
    """Measure each size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--folder", type=Path, default=Path("/tmp/growth"))
    parser.add_argument("--step", choices=("prepare", "open"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        watch = AnonymousMemory()
        figures = _prepare(arguments.folder) if arguments.step == "prepare" else _open(arguments.folder)
        print(json.dumps({**figures, **watch.figures()}))
        return
    rows = [["pairs", "step", "seconds", "peak MB", "peak anonymous MB", "anonymous MB at the end"]]
    for size in arguments.sizes:
        folder = arguments.folder / str(size)
        if not (folder / "pairs.parquet").exists():
            _write_pairs(folder / "pairs.parquet", size)
        for name, step in (("prepare", "prepare"), ("tokens", "open"), ("batch", "open")):
            found = _measured(step, size, folder)
            memory = [f"{found[key]:.0f}" for key in ("peak", "peak_anonymous", "anonymous")]
            rows.append([f"{size:,}", name, f"{found['seconds']:.1f}", *memory])
            # The largest takes long, and whoever waits sees the steps that are done.
            print(*rows[-1], file=sys.stderr, flush=True)
    print(markdown_table(rows, text=(1,)))


def _measured(step: str, size: int, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.growth", "--step", step, "--sizes", str(size), "--folder", str(folder)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, float] = json.loads(output.strip().splitlines()[-1])
    return found


def _write_pairs(path: Path, size: int) -> None:
    """Pairs of made words, all different; a block at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from hr_retrieval.files import whole_file

    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    words = np.array(["".join(generator.choice(list("abcdefghijklmnoprstuvy"), 5)) for _ in range(_WORDS)])
    schema = pa.schema([("title", pa.string()), ("description", pa.string())])
    with whole_file(path) as partial, pq.ParquetWriter(partial, schema) as writer:
        for begin in range(0, size, _BLOCK):
            drawn = words[generator.integers(0, _WORDS, (min(_BLOCK, size - begin), 18))]
            columns = [[" ".join(row) for row in part] for part in (drawn[:, :9], drawn[:, 9:])]
            writer.write_table(pa.table(dict(zip(schema.names, columns, strict=True)), schema))


def _prepare(folder: Path) -> dict[str, float]:
    from hr_retrieval.prepare.columns import Columns
    from hr_retrieval.prepare.preparation import Preparation
    from hr_retrieval.prepare.readers.parquet import ParquetReader

    begun = time.monotonic()
    reader = ParquetReader(str(folder / "pairs.parquet"))
    columns = Columns(anchor="title", positive="description")
    Preparation(reader, str(folder / "prepared"), "growth", columns=columns).run(replace=True)
    return {"seconds": time.monotonic() - begun}


def _open(folder: Path) -> dict[str, float]:
    from hr_retrieval.data.datamodule import RetrievalDataModule
    from hr_retrieval.encoder.builtin import BUILTIN
    from hr_retrieval.encoder.encoder import Encoder

    encoder = Encoder(BUILTIN)
    begun = time.monotonic()
    datamodule = RetrievalDataModule(folder / "prepared", encoder, batch_size=64)
    datamodule.prepare_data()
    datamodule.setup("fit")
    next(iter(datamodule.train_dataloader()))
    return {"seconds": time.monotonic() - begun}


class AnonymousMemory(threading.Thread):
    """Looks every 50 ms at what this process holds of its own: the kernel keeps no peak of that."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self._ended = 0.0, threading.Event()
        self.start()

    def run(self) -> None:
        while not self._ended.wait(0.05):
            self.peak = max(self.peak, self._now())

    def figures(self) -> dict[str, float]:
        """MB: resident at its highest, of its own at its highest, of its own now."""
        self._ended.set()
        now = self._now()
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {"peak": resident, "peak_anonymous": max(self.peak, now), "anonymous": now}

    @staticmethod
    def _now() -> float:
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(status["RssAnon"].split()[0]) / 1024


if __name__ == "__main__":
    main()
