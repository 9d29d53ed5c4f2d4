"""The frozen encoders that a run asks about its texts: a guide, and teachers."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig

from hr_retrieval.encoder.guide import EncoderGuide
from hr_retrieval.errors import UserError
from hr_retrieval.runs.directory import open_encoder
from hr_retrieval.runs.ranking import chosen_mixing


class Frozen:
    """What `datamodule.guide` and `datamodule.teacher` name.

    Args:
        config: of the data module.

    Attributes:
        guide: `None` for none.
        teacher: the scores of several are averaged.

    Raises:
        UserError: one cannot be loaded; or with `teacher_mixing=auto` one has chosen no mixing, or one
            that needs more than embeddings.
    """

    def __init__(self, config: DictConfig) -> None:
        named = config.get("teacher")
        names = list(named) if isinstance(named, ListConfig) else [named] if named else []
        mixed = config.get("teacher_mixing") == "auto"
        self.teacher = [_mixing(name) if mixed else _plain(name) for name in names]
        self.guide = _plain(config.guide) if config.get("guide") else None

    @property
    def given(self) -> dict[str, Any]:
        """For the constructor of the data module."""
        return {"guide": self.guide, "teacher": self.teacher}

    @property
    def made_from(self) -> dict[str, str]:
        """Fingerprints, by what they are of, for `Run.made_from`."""
        found = {} if self.guide is None else {"guide": self.guide.fingerprint}
        for number, one in enumerate(self.teacher, 1):
            name = "teacher" if number == 1 else f"teacher {number}"
            found[name] = one.fingerprint
            if one.mixing.parts:
                found[f"mixing of the {name}"] = str(one.mixing)
        return found


def _plain(name: str) -> EncoderGuide:
    return EncoderGuide(open_encoder(name)[0])


def _mixing(name: str) -> EncoderGuide:
    encoder, _ = open_encoder(name)
    mixing = chosen_mixing(Path(name), encoder)
    if not mixing.parts or mixing.needs:
        raise UserError(
            f"for datamodule.teacher_mixing=auto a teacher that ranks with mixing of embeddings alone in {name}",
            f"{mixing}",
            "Train the teacher with ranking/mixing=documents, queries or hubs, or take datamodule.teacher_mixing=none.",
        )
    return EncoderGuide(encoder, mixing)
