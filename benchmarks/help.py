"""How long the command line takes to answer: `python -m hr_retrieval.train --help` against
importing what it does not need for that.

python -m benchmarks.help
"""

import subprocess
import sys
from typing import Any

from benchmarks.interleave import comparison, interleave, table


def run(quick: bool) -> list[dict[str, Any]]:
    """One row, `help`: ours is the command; the peer imports Lightning and torchmetrics, as a
    program that imports at the top does.
    """
    commands = {
        "ours": [sys.executable, "-m", "hr_retrieval.train", "--help"],
        "peer": [sys.executable, "-c", "import pytorch_lightning, torchmetrics"],
    }

    def start(name: str) -> object:
        return subprocess.run(commands[name], check=True, capture_output=True)

    times = interleave({"ours": lambda: start("ours"), "peer": lambda: start("peer")}, rounds=3 if quick else 7)
    return [comparison("help", "--help: importing Lightning and torchmetrics", times["ours"], times["peer"])]


if __name__ == "__main__":
    print(table(run(quick=False)))
