"""The tests of `tests/gpu` in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch

from benchmarks.gpu.made import Size

_ROOT = Path(__file__).parents[2]


def run_tests(device: torch.device, size: Size, work: Path, card: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each test: whether it passed, what it said, and its seconds. On a CPU they run
    there, small as they are.
    """
    report = work / "tests.xml"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HR_RETRIEVAL_GPU_TESTS": device.type}
    # What other releases of libraries warn of is no failure of the GPU's.
    options = ["-q", "-W", "default", "-p", "no:cacheprovider", f"--junitxml={report}"]
    command = [sys.executable, "-m", "pytest", *options, "tests/gpu"]
    printed = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True).stdout
    if not report.exists():
        raise RuntimeError(f"no report of the tests: {printed[-2000:]}")
    return [_row(case) for case in ElementTree.parse(report).iter("testcase")]


def _row(case: ElementTree.Element) -> dict[str, Any]:
    found = {kind: case.find(kind) for kind in ("failure", "error", "skipped")}
    kind, said = next(((kind, element) for kind, element in found.items() if element is not None), ("passed", None))
    row = {"name": case.get("name"), "outcome": kind, "seconds": float(case.get("time", 0))}
    if said is not None:
        row["said"] = f"{said.get('message')}\n{(said.text or '')[-4000:]}"
    properties = {str(one.get("name")): one.get("value") for one in case.iter("property")}
    return {**row, **properties}
