"""A training step under Lightning: how long it takes, and how often it makes the processor wait for
the GPU, by line.
"""

import functools
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any, TextIO

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from benchmarks.gpu.card import synchronise
from benchmarks.gpu.made import Size, prepare_data
from benchmarks.gpu.training import made_encoder
from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.objective.mixing import NoMixing
from hr_retrieval.objective.triplet import TripletLoss
from hr_retrieval.train.module import RetrievalModule

# A module with a setting, which it declares to nobody.
_ORDER: Any = torch.utils.deterministic
# Steps that are not counted: libraries set themselves up in them.
_WARM = 4
_OURS, _LIGHTNING = "hr_retrieval", ("pytorch_lightning", "lightning_fabric", "torchmetrics")


def count_syncs(device: torch.device, size: Size, work: Path, card: dict[str, Any]) -> list[dict[str, Any]]:
    """Steps of `RetrievalModule` under Lightning's trainer, as `python -m hr_retrieval.train` sets
    it up: timed, then watched.
    """
    data = prepare_data(work, size, 2 * size.batch * (_WARM + 3 * size.steps))
    encoder = Encoder(str(made_encoder(work, size, size.vocabulary)))
    optimizer = functools.partial(torch.optim.Adam, lr=1e-5, fused=True)
    module = RetrievalModule(encoder, NoMixing(), TripletLoss(), optimizer)
    watch = Watch(device, size.steps)
    trainer = pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        max_steps=_WARM + 3 * size.steps,
        precision="bf16-mixed",
        gradient_clip_val=1.0,
        deterministic="warn",
        limit_val_batches=0,
        log_every_n_steps=1000,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=work,
        callbacks=[watch],
    )
    try:
        trainer.fit(module, RetrievalDataModule(data, encoder, batch_size=size.batch))
    finally:
        # Lightning leaves it on, and it is nothing for the sections to come.
        torch.use_deterministic_algorithms(False)
        _ORDER.fill_uninitialized_memory = True
    by_owner = {
        owner: {line: count / size.steps for (own, line), count in watch.lines.most_common() if own == owner}
        for owner in ("ours", "lightning", "others")
    }
    return [
        {
            "name": "syncs",
            "what": f"waits for the device a step, of {size.steps} steps of {size.batch} pairs",
            "measured": device.type == "cuda",
            **{owner: sum(lines.values()) for owner, lines in by_owner.items()},
            "step_ms": watch.seconds[0] / size.steps * 1e3,
            # Where order is asked for, torch fills memory that an operation is to write; off, the
            # figures are the same.
            "step_ms_unfilled": watch.seconds[1] / size.steps * 1e3,
            "lines": by_owner,
        }
    ]


class Watch(Callback):
    """Times `steps` steps, as many more that leave memory unfilled, then counts torch's warnings of waits by line."""

    def __init__(self, device: torch.device, steps: int) -> None:
        self.device, self.steps = device, steps
        self.lines: Counter[tuple[str, str]] = Counter()
        self.seconds: list[float] = []
        self._begun = 0.0
        self._shown = warnings.showwarning
        self._filters = warnings.catch_warnings()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        phase, within = divmod(trainer.global_step - _WARM, self.steps)
        if within or phase < 0:
            return
        synchronise(self.device)
        if phase:
            self.seconds.append(time.perf_counter() - self._begun)
        self._begun = time.perf_counter()
        _ORDER.fill_uninitialized_memory = phase == 0
        if phase == 2:
            self._filters.__enter__()
            warnings.simplefilter("always")
            warnings.showwarning = self.count
            self._switch("warn")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._switch("default")
        self._filters.__exit__(None, None, None)

    def count(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """In the place of `warnings.showwarning`; shows what is no warning of a wait."""
        if "synchroniz" not in str(message):
            self._shown(message, category, filename, lineno, file, line)
            return
        self.lines[culprit(traceback.extract_stack(sys._getframe(1)))] += 1

    def _switch(self, mode: str) -> None:
        if self.device.type == "cuda":
            torch.cuda.set_sync_debug_mode(mode)


def culprit(stack: traceback.StackSummary) -> tuple[str, str]:
    """Whose line it was: the innermost one that is ours or Lightning's; else the innermost of all."""
    for frame in reversed(stack):
        parts = Path(frame.filename).parts
        line = f"{'/'.join(parts[-2:])}:{frame.lineno} {frame.line}"
        if _OURS in parts:
            return "ours", line
        if any(library in parts for library in _LIGHTNING):
            return "lightning", line
    return "others", f"{stack[-1].filename}:{stack[-1].lineno} {stack[-1].line}"
