"""Learning-rate schedules, counted in optimizer steps."""

from typing import Any, cast

import pytorch_lightning as pl
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from hr_retrieval.errors import UserError


class WarmupLinear(LambdaLR):
    """The rate rises linearly from 0 over the warm-up, then falls linearly to a share of its peak at the last step.

    Args:
        optimizer: its learning rate is the peak.
        total_steps: optimizer steps of the whole run.
        warmup: share of the steps that warm up.
        final: share of the peak that is left at the end; 1 keeps the rate constant after the
            warm-up.

    Raises:
        UserError: a share is out of range, or the warm-up takes all steps, so that the rate never
            reaches its peak.
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, warmup: float = 0.1, final: float = 0.0) -> None:
        if not (0 <= warmup < 1 and 0 <= final <= 1):
            raise UserError(
                "scheduler.warmup in [0, 1) and scheduler.final in [0, 1]",
                f"{warmup} and {final}",
                "Both are shares: warmup of the steps (0.1 is a tenth of them), final of the peak that is left at the end.",
            )
        rising = round(total_steps * warmup)
        if rising and rising >= total_steps:
            raise UserError(
                "a warm-up that ends before the training does",
                f"scheduler.warmup={warmup} of {total_steps} steps, which is {rising} of them",
                "Lower scheduler.warmup, or train longer (trainer.max_epochs, trainer.max_steps, trainer.limit_train_batches).",
            )

        def share(step: int) -> float:
            if step < rising:
                return (step + 1) / (rising + 1)
            return final + (1 - final) * max(0.0, (total_steps - step) / max(1, total_steps - rising))

        self.share = share
        super().__init__(optimizer, share)

    def state_dict(self) -> dict[str, Any]:
        """How many steps were made; peak and shape are settings, not state."""
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on behind so many steps, with the peak and the shape that this schedule was made with."""
        self.last_epoch = state_dict["last_epoch"]
        for group, peak in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = peak * self.share(self.last_epoch)


def total_steps(trainer: pl.Trainer, gone_on: tuple[int, int, int] | None) -> int:
    """Optimizer steps of the whole run: those of a resumed one that are done, and what is left as it is configured now.

    Args:
        gone_on: steps, epochs, and batches of the epoch under way that are done; `None` for a new
            run.

    Raises:
        UserError: the run has no end.
    """
    known = cast(Any, trainer)
    steps = known.estimated_stepping_batches
    if steps == float("inf"):
        raise UserError(
            "a run whose last step the learning-rate schedule can count to",
            "trainer.max_epochs=-1 and trainer.max_steps=-1",
            "Set one of these keys.",
        )
    if gone_on is None or known.max_epochs == -1:
        return int(steps)
    done, epoch, batches = gone_on
    within = [-(-count // known.accumulate_grad_batches) for count in (known.num_training_batches, batches)]
    total = done + max(0, within[0] * (known.max_epochs - epoch) - within[1])
    return int(total if known.max_steps == -1 else min(total, known.max_steps))
