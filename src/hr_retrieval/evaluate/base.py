"""The encoder that another one was before its training."""

from pathlib import Path

import yaml

from hr_retrieval.config.build import build
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from hr_retrieval.runs.directory import Run


def before_training(run: Run | None, folder: Path, encoder: Encoder, base: str | None) -> Encoder | None:
    """The encoder before training; `None` where none is asked for or stated.

    Args:
        run: whose encoder it is, if any.
        folder: of the run or the encoder.
        encoder: after training.
        base: its name; `auto` takes what the run or the folder's model card says, `None` none.

    Raises:
        UserError: it cannot be loaded.
    """
    stated = _stated_base(folder) if base == "auto" and run is None else base
    if stated is None:
        return None
    try:
        if run is not None and stated == "auto":
            before: Encoder = build(run.config.model.encoder)
            return before
        return Encoder(
            stated,
            pooling=encoder.pooling,
            max_length=encoder.max_length,
            dimensions=encoder.dimensions,
        ).reworded(**encoder.wording)
    except UserError as error:
        remedy = f"{error.remedy} Or compare with no encoder before training: base=null."
        raise UserError(error.expected, error.got, remedy) from None


def _stated_base(folder: Path) -> str | None:
    """What the front matter of a folder's model card says that it was trained from: in our words, or in the hub's."""
    card = folder / "README.md"
    parts = card.read_text(encoding="utf-8").split("---\n", 2) if card.is_file() else []
    if len(parts) < 3 or parts[0]:
        return None
    try:
        stated = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        # Somebody's card that is no YAML says nothing; the encoder is none the worse.
        return None
    base = stated.get("trained_from", stated.get("base_model")) if isinstance(stated, dict) else None
    return base if isinstance(base, str) else None
