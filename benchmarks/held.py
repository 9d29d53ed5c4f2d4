"""What the memory of a training step is made of.

    python -m benchmarks.held [--encoder builtin:multilingual-e5-small] [--pairs 64] [--words 100] [--bf16]

Without `--encoder` it is one of the shape of multilingual-e5-small with random weights. `saved` is
what the forward pass keeps for the backward one, by the layer that keeps it, each tensor counted
once, with one thread; the peak is the process's own, of three steps with all threads.
"""

import argparse
import re
import resource
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.gpu.made import mixed_texts, write_encoder
from benchmarks.titles import E5_SMALL
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.ragged import Ragged
from hr_retrieval.markdown import markdown_table
from hr_retrieval.objective.similarity import cosine
from hr_retrieval.objective.triplet import TripletLoss
from hr_retrieval.train.memory import keep_freed_memory

_MEGABYTE = 1 << 20


def main() -> None:
    """Print a table, in megabytes."""
    options = _options()
    keep_freed_memory()
    rows = [["libraries", f"{_resident():.0f}"]]
    with TemporaryDirectory() as work:
        name = options.encoder
        if name is None:
            write_encoder(Path(work) / "made", E5_SMALL)
            name = str(Path(work) / "made" / "encoder")
        encoder = Encoder(name, max_length=128)
        texts = mixed_texts(E5_SMALL.vocabulary, 2 * options.pairs, options.words, 1)
        tokens, _ = encoder.tokenise(texts, "query")
        step = Step(encoder, tokens, options.pairs, torch.bfloat16 if options.bf16 else torch.float32)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        saved = step.saved()
        torch.set_num_threads(threads)
        for _ in range(3):
            step()
    tables = sum(_size(module.weight) for module in encoder.modules() if isinstance(module, nn.Embedding))
    whole = sum(map(_size, encoder.parameters()))
    moments = sum(_size(value) for state in step.optimizer.state.values() for value in state.values())
    rows += [[f"weights: {part}", f"{size:.0f}"] for part, size in (("tables", tables), ("layers", whole - tables))]
    rows += [["gradients", f"{whole:.0f}"], ["moments of Adam", f"{moments:.0f}"]]
    rows += [[f"saved: {part}", f"{size:.0f}"] for part, size in saved.most_common()]
    rows += [["saved, all", f"{sum(saved.values()):.0f}"], ["peak of the process", f"{_peak():.0f}"]]
    print(f"{2 * options.pairs} texts, {len(tokens.ids):,} tokens\n")
    print(markdown_table([["part", "MB"], *rows], text=(0,)))


class Step:
    """One step of training."""

    def __init__(self, encoder: Encoder, tokens: Ragged, pairs: int, dtype: torch.dtype) -> None:
        self.encoder, self.tokens, self.pairs, self.dtype = encoder, tokens, pairs, dtype
        self.optimizer = torch.optim.Adam(encoder.parameters(), lr=2e-5, fused=True)
        self.loss = TripletLoss()

    def __call__(self) -> None:
        self.optimizer.zero_grad()
        self._forward().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.optimizer.step()

    def saved(self) -> Counter[str]:
        """Megabytes that a forward pass keeps, by kind of layer; weights are not among them."""
        known = {weight.untyped_storage().data_ptr() for weight in self.encoder.parameters()}
        found: Counter[str] = Counter()
        kept: list[Tensor] = []
        place = ["embeddings"]

        def keep(tensor: Tensor) -> Tensor:
            pointer = tensor.untyped_storage().data_ptr()
            if pointer not in known:
                known.add(pointer)
                # So that no later tensor has its place.
                kept.append(tensor.detach())
                found[place[0]] += tensor.untyped_storage().nbytes() / _MEGABYTE  # type: ignore[assignment]
            return tensor

        def enter(name: str) -> Any:
            return lambda *_: place.__setitem__(0, name)

        hooks = [
            module.register_forward_pre_hook(enter(_kind(name)))
            for name, module in self.encoder.named_modules()
            if name
        ]
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            self._forward()
        for hook in hooks:
            hook.remove()
        return found

    def _forward(self) -> Tensor:
        with torch.autocast("cpu", self.dtype, enabled=self.dtype != torch.float32):
            embeddings = self.encoder(self.tokens)
        relevance = torch.eye(self.pairs, dtype=torch.bool)
        loss: Tensor = self.loss(cosine(embeddings[: self.pairs], embeddings[self.pairs :]), relevance).loss
        return loss


def _kind(name: str) -> str:
    """`attention.self.query` of `transformer.encoder.layer.3.attention.self.query`."""
    return re.sub(r"^.*\.\d+\.", "", name).removeprefix("transformer.")


def _size(tensor: Tensor) -> float:
    return tensor.numel() * tensor.element_size() / _MEGABYTE


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / _MEGABYTE


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", help="by name; its own tokenizer reads the made words letter by letter")
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--words", type=float, default=100, help="half of the texts have fewer")
    parser.add_argument("--bf16", action="store_true", help="autocast")
    return parser.parse_args()


if __name__ == "__main__":
    main()
