"""The memory of a training: what it frees stays with it, and what helps where there is too little."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from hr_retrieval.data.batch import Batch
from hr_retrieval.errors import UserError

# Numbers and names that glibc gives these in malloc.h and to the environment.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_CHOSEN_BY_USER = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
_UP_TO = 1 << 30


def keep_freed_memory() -> bool:
    """Let glibc keep blocks of up to a gigabyte that this process frees, instead of giving their pages back.

    A training step on a CPU frees and allocates the same large blocks each time: activations, the
    gradient of the embedding table. By default their pages go back to the kernel, which fills them
    with zeros and maps them one by one in the next step.

    Returns:
        whether it took effect: not without glibc, nor where the environment sets the allocator
            already.
    """
    if any(name in os.environ for name in _CHOSEN_BY_USER):
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all(bool(set_option(option, _UP_TO)) for option in (_TRIM_THRESHOLD, _MMAP_THRESHOLD))


class BatchSize(Callback):
    """Knows how large the batch under way is, to explain a lack of memory."""

    def __init__(self) -> None:
        self.size = "before the first batch"
        self.texts = 1

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        self.texts = len(batch.anchors) + len(batch.documents)
        tokens = len(batch.anchors.ids) + len(batch.documents.ids)
        sides = f"{len(batch.anchors)} anchors and {len(batch.documents)} documents"
        self.size = f"{self.texts} texts ({sides}), {tokens} tokens in all"

    @contextmanager
    def explained(self, mini_batch: int | None, batch_size: int) -> Iterator[None]:
        """Raise what `explain` has to say of an allocation that failed within."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            explained = self.explain(error, mini_batch, batch_size)
            if explained is None:
                raise
            raise explained from error

    def explain(self, error: MemoryError | RuntimeError, mini_batch: int | None, batch_size: int) -> UserError | None:
        """What a user can do about an allocation that failed; `None` for any other error.

        Args:
            mini_batch: texts encoded at a time, as `RetrievalModule.mini_batch`.
            batch_size: anchors a batch on each process.
        """
        if not (isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)):
            return None
        smaller = max(1, min(mini_batch or self.texts, self.texts) // 2)
        first_line = (str(error).splitlines() or [""])[0]
        return UserError(
            "a batch that fits into memory",
            f"{self.size}, and {type(error).__name__}: {first_line}",
            f"Set model.mini_batch={smaller} (the same training in less memory, a little slower) or "
            f"datamodule.batch_size={max(1, batch_size // 2)}; if validation is what fails, halve "
            "datamodule.evaluation_tokens. Go on with resume=<run directory> and one of these.",
        )
