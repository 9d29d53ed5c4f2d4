"""How Lightning writes and reads the checkpoints of a run."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from hr_retrieval.errors import UserError, said
from hr_retrieval.files import renamed, whole_file
from hr_retrieval.runs.checkpoints import load_checkpoint


class CheckedCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all, and loads nothing but tensors and plain values from
    a file that is intact.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write `path`.

        Raises:
            UserError: the place cannot be written to; what stood there is left as it was.
        """
        with whole_file(Path(path)) as partial:
            try:
                torch.save(checkpoint, partial)
            except RuntimeError as error:
                # torch's writer reports a full disk as a RuntimeError without an errno.
                raise UserError(
                    f"to write the checkpoint {path}",
                    said(error),
                    "Free space, then go on with resume=<run directory>.",
                ) from error

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint, onto the CPU unless told otherwise; see `load_checkpoint` for what it refuses.

        Where the file was moved since, so is what its callbacks say of their folder: Lightning
        would forget the best score.
        """
        content = load_checkpoint(Path(path), map_location or "cpu")
        for name, state in content.get("callbacks", {}).items():
            if isinstance(state, dict) and isinstance(state.get("dirpath"), str):
                content["callbacks"][name] = renamed(state, state["dirpath"], str(Path(path).parent.absolute()))
        return content
