"""The mixing at ranking time that was chosen for an encoder, as a file beside it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from hr_retrieval.files import read_json, write_json
from hr_retrieval.retrieval.mixing import Composition

FILE = "ranking.json"
VERSION = 1


@dataclass(frozen=True)
class RankingChoice:
    """What `ranking.json` holds in a run directory and in an encoder's folder; Sentence
    Transformers does not look at it.

    Attributes:
        encoder: `Encoder.embedding_fingerprint` of the encoder that it was chosen for.
        mixing: of no parts where validation bore out none.
        evidence: what it is worth on validation: metric, queries, figures with and without.
    """

    encoder: str
    mixing: Composition
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "RankingChoice | None":
        """What stands in a folder; `None` where nothing was chosen.

        Raises:
            UserError: the file is of another version, or not as it should be.
        """
        path = folder / FILE
        if not path.is_file():
            return None
        content = read_json(path)
        version = content.get("version") if isinstance(content, Mapping) else None
        if version != VERSION:
            newer = isinstance(version, int) and version > VERSION
            raise UserError(
                f"version {VERSION} in {path}",
                repr(version),
                "A newer hr_retrieval wrote it: install that one, or rank without it (ranking/mixing=none)."
                if newer
                else "Export the encoder anew, or rank without it (ranking/mixing=none).",
            )
        mixing = Composition.from_json(content.get("mixing"), str(path))
        return cls(str(content.get("encoder")), mixing, content.get("evidence") or {})

    def write(self, folder: Path) -> None:
        """Write the file, whole or not at all."""
        write_json(folder / FILE, self.content)

    @property
    def content(self) -> dict[str, Any]:
        """What the file holds."""
        return {
            "version": VERSION,
            "encoder": self.encoder,
            "mixing": self.mixing.to_json(),
            "evidence": dict(self.evidence),
        }

    @property
    def text(self) -> str:
        """The same as text, for an exported folder, whose files are written together."""
        return json.dumps(self.content, ensure_ascii=False, indent=2) + "\n"

    def check(self, fingerprint: str, folder: Path) -> None:
        """Raise `UserError` unless the encoder with this fingerprint is the one that it was chosen for."""
        if fingerprint != self.encoder:
            raise UserError(
                f"the encoder that {folder / FILE} was chosen for (fingerprint {self.encoder[:16]})",
                f"another one ({fingerprint[:16]})",
                "Export the run anew, or rank without what was chosen: ranking/mixing=none.",
            )


def chosen_mixing(folder: Path, encoder: Encoder) -> Composition:
    """What was chosen for an encoder, as it stands in its folder or its run directory; of no parts where nothing was.

    Raises:
        UserError: the file is of another version, not as it should be, or of another encoder.
    """
    choice = RankingChoice.read(folder)
    if choice is None:
        return Composition()
    choice.check(encoder.embedding_fingerprint(), folder)
    return choice.mixing


def sentences(ranking: Mapping[str, Any] | None) -> list[str]:
    """What `summary.json` says of the mixing at ranking time, in words."""
    if ranking is None:
        return ["Mixing at ranking time: none was chosen from."]
    validation = ranking["validation"]
    if not ranking["parts"]:
        return [
            f"Mixing at ranking time: none. Of {ranking['tried']} settings none raised the {validation['metric']} of "
            f"{validation['queries']:,} validation queries beyond chance."
        ]
    worth = [(name, ranking[name]) for name in ("validation", "test") if ranking[name]]
    return [
        f"Mixing at ranking time, chosen on validation of {ranking['tried']} settings: {ranking['mixing']}.",
        *(_worth(name, figures) for name, figures in worth),
        "Figures before training (zero-shot) are without mixing.",
    ]


def _worth(name: str, figures: Mapping[str, Any]) -> str:
    before, after = figures["hubness"]
    adjusted = ", adjusted for the settings tried" if name == "validation" else ""
    return (
        f"On {name} it is worth {figures['mixed'] - figures['without']:+.4f} {figures['metric']} ({figures['without']:.4f} "
        f"without, {figures['mixed']:.4f} with it; p = {figures['p']:.4f}{adjusted}): {figures['helped']:,} of "
        f"{figures['queries']:,} queries gain, {figures['hurt']:,} lose. Hubness (skewness of how often a document is among "
        f"the first ten): {before:.2f} without, {after:.2f} with it."
    )
