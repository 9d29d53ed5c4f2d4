"""What the project does on a GPU: its GPU tests, speed against sentence-transformers, waits a step,
memory of evaluation.

    python -m benchmarks.gpu [--only train encode] [--output benchmarks/results/gpu.json]
    python -m benchmarks.gpu --dry-run

It takes about five minutes on one card and needs no network: encoder, texts and data are made on
the spot. Each section stands alone: one that fails is recorded with its error, and what was
measured is written after each. `--dry-run` runs all of it on the CPU with an encoder of two layers:
its figures mean nothing.
"""

import argparse
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.gpu.card import describe
from benchmarks.gpu.checks import run_tests
from benchmarks.gpu.encoding import encode
from benchmarks.gpu.made import FULL, SMALL, Size
from benchmarks.gpu.memory import evaluate
from benchmarks.gpu.syncs import count_syncs
from benchmarks.gpu.training import compile_layers, train, train_multilingual
from hr_retrieval.files import write_json

Section = Callable[[torch.device, Size, Path, dict[str, Any]], list[dict[str, Any]]]
# What matters most comes first, should the time run out.
SECTIONS: dict[str, Section] = {
    "train": train,
    "encode": encode,
    "syncs": count_syncs,
    "memory": evaluate,
    "tests": run_tests,
    "train_multilingual": train_multilingual,
    "compile": compile_layers,
}
_OUTPUT = Path(__file__).parents[1] / "results" / "gpu.json"


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen sections and write the results; returns how many failed."""
    options = _options(arguments)
    if not options.dry_run and not torch.cuda.is_available():
        raise SystemExit("Expected a GPU; torch sees none. --dry-run runs the script on the CPU.")
    device, size = (torch.device("cpu"), SMALL) if options.dry_run else (torch.device("cuda"), FULL)
    results: dict[str, Any] = {"command": " ".join(["python -m benchmarks.gpu", *(arguments or sys.argv[1:])])}
    results |= {"dry_run": options.dry_run, **describe(device, options.dry_run), "sections": {}}
    with TemporaryDirectory() as work:
        for name in options.only or SECTIONS:
            results["sections"][name] = found = _section(SECTIONS[name], device, size, Path(work), results)
            write_json(options.output, results)
            print(f"{name}: {'failed' if 'error' in found else 'done'} in {found['seconds']:.1f} s", flush=True)
            print(_brief(found), flush=True)
    print(f"Written to {options.output}")
    return sum("error" in found for found in results["sections"].values())


def _section(section: Section, device: torch.device, size: Size, work: Path, results: dict[str, Any]) -> dict[str, Any]:
    begun = time.perf_counter()
    try:
        found: dict[str, Any] = {"rows": section(device, size, work, results)}
    # Whatever it is that fails here, the next section may still be measured.
    except (Exception, SystemExit):
        found = {"error": traceback.format_exc()}
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return {"seconds": time.perf_counter() - begun, **found}


def _brief(found: dict[str, Any]) -> str:
    """A line a row, or the error."""
    if "error" in found:
        return str(found["error"])
    short = [{key: value for key, value in row.items() if not isinstance(value, dict)} for row in found["rows"]]
    return "\n".join("  " + ", ".join(f"{key} {_number(value)}" for key, value in row.items()) for row in short)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), help="sections to run; all unless told")
    parser.add_argument("--output", type=Path, default=_OUTPUT)
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, as small as can be")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
