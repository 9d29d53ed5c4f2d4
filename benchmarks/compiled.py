"""Whether `torch.compile` makes a training step faster on a CPU.

    python -m benchmarks.compiled

The step of `benchmarks.train` with the smooth triplet loss, as it is, against the same with each
layer of the transformer compiled for any shape. Attention stays outside of what is compiled: its
tiles differ in each batch. The compiler shares each operation among threads, so compiled layers are
measured with and without a graph for each thread.
"""

import time
from unittest.mock import patch

import torch
from torch import nn
from transformers import AttentionInterface

from benchmarks.interleave import comparison, interleave, table
from benchmarks.train import STEPS, Ours, Task, esco_pairs
from hr_retrieval.encoder.builtin import BUILTIN
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.packing import NAME, packed_attention
from hr_retrieval.objective.triplet import TripletLoss
from hr_retrieval.train.memory import keep_freed_memory


def main() -> None:
    """Print the table: `ours` is the plain step, `peer` the compiled one."""
    keep_freed_memory()
    task = Task(BUILTIN, esco_pairs(None))
    plain, compiled = Ours(task, TripletLoss()), Ours(task, TripletLoss())
    outside = torch.compiler.disable(packed_attention)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    AttentionInterface.register(NAME, outside)
    layers = [module for module in compiled.encoder.modules() if type(module).__name__.endswith("Layer")]
    for layer in layers:
        nn.Module.compile(layer, dynamic=True)
    begun = time.monotonic()
    compiled()
    print(f"The first {STEPS} steps, in which the layers are compiled: {time.monotonic() - begun:.0f} s")
    times = interleave({"plain": plain, "compiled": compiled, "shared": lambda: _shared(compiled)}, rounds=5)
    rows = {
        "compiled": f"{len(layers)} layers compiled, a graph for each thread",
        "shared": f"{len(layers)} layers compiled, threads share each operation",
    }
    print(table([comparison(f"train_{name}", what, times["plain"], times[name]) for name, what in rows.items()]))


def _shared(compiled: Ours) -> None:
    with patch.object(Encoder, "_threads", return_value=1):
        compiled()


if __name__ == "__main__":
    main()
