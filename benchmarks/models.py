"""How long an epoch of 10,000 pairs takes with each `model=`, and what memory: of its size, with random weights.

    python -m benchmarks.models [names]     ten minutes on two cores

Steps of 32 pairs, half of the titles below 8 words and half of the descriptions below 60, at most
128 tokens, in the precision that a training takes on this machine; each model in a process of its
own. The time is the median step's, times 313. The memory is the process's at its highest, libraries
included.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.gpu.made import FULL, pairs, write_encoder
from hr_retrieval.encoder.cpu.rounding import native_bfloat16
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.markdown import markdown_table
from hr_retrieval.objective.similarity import cosine
from hr_retrieval.objective.triplet import TripletLoss

PAIRS, STEPS, EPOCH = 32, 4, 10_000
# Width, layers, heads, and words of the vocabulary, as on the models' cards.
SIZES = {
    "minilm": (384, 6, 12, 30_522), "e5-small": (384, 12, 12, 250_037), "mpnet": (768, 12, 12, 250_002),
    "labse": (768, 12, 12, 501_153), "e5-large": (1024, 24, 16, 250_002), "bert": (768, 12, 12, 119_547),
    "distilbert": (768, 6, 12, 119_547), "roberta": (768, 12, 12, 50_265),
}  # fmt: skip


def main(names: list[str]) -> None:
    """Print the table."""
    rows = [["model", "an epoch of 10,000 pairs, min", "memory, GB"]]
    for name in names or SIZES:
        command = [sys.executable, "-m", "benchmarks.models", "--one", name]
        seconds, memory = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        rows.append([name, f"{seconds * EPOCH / PAIRS / 60:.0f}", f"{memory:.1f}"])
        print(*rows[-1], file=sys.stderr, flush=True)
    precision = "bf16" if native_bfloat16() else "float32"
    print(f"{torch.get_num_threads()} threads, {precision}\n\n{markdown_table(rows)}")


def measure(name: str) -> tuple[float, float]:
    """Seconds of a step, and GB."""
    hidden, layers, heads, vocabulary = SIZES[name]
    size = replace(FULL, hidden=hidden, layers=layers, heads=heads, vocabulary=vocabulary)
    with tempfile.TemporaryDirectory() as folder:
        write_encoder(Path(folder) / "made", size)
        encoder = Encoder(str(Path(folder) / "made" / "encoder"))
    titles, descriptions = pairs(size, PAIRS * (STEPS + 1))
    optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-4, fused=True)
    seconds = []
    for step in range(STEPS + 1):
        begun, rows = time.perf_counter(), slice(step * PAIRS, (step + 1) * PAIRS)
        tokens, _ = encoder.tokenise(titles[rows] + descriptions[rows], "document")
        with torch.autocast("cpu", torch.bfloat16, enabled=native_bfloat16()):
            embeddings = encoder(tokens)
        scores = cosine(embeddings[:PAIRS], embeddings[PAIRS:])
        loss = TripletLoss()(scores, torch.eye(PAIRS, dtype=torch.bool)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - begun)
    # The first step makes the optimizer's state.
    return statistics.median(seconds[1:]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2])))
    else:
        main(sys.argv[1:])
