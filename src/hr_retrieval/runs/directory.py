"""A run directory: its config, its checkpoints, its figures; the only reader of checkpoints."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hr_retrieval.config.build import build, check_targets
from hr_retrieval.encoder.cross_encoder import CrossEncoder
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from hr_retrieval.files import check_vacant, read_json, renamed, whole_file
from hr_retrieval.runs.card import fairness_of, model_card
from hr_retrieval.runs.checkpoints import load_checkpoint, newest_checkpoint
from hr_retrieval.runs.intervals import intervals_of
from hr_retrieval.runs.moved import with_new_names
from hr_retrieval.runs.place import check_run
from hr_retrieval.runs.ranking import FILE, RankingChoice

# Set to 1, lets the encoders of run directories run code of their own.
TRUST = "HR_RETRIEVAL_TRUST_REMOTE_CODE"


@dataclass(frozen=True)
class Part:
    """From where on a run was trained with other settings.

    Attributes:
        from_step: optimizer steps that were trained before.
        overrides: what was given beside `resume=`.
    """

    from_step: int
    overrides: tuple[str, ...]

    def __str__(self) -> str:
        return f"from step {self.from_step}: {' '.join(self.overrides)}"


@dataclass(frozen=True)
class Run:
    """One run directory.

    Attributes:
        folder: `config.yaml`, `checkpoints/`, `metrics.csv`, `tensorboard/`, `encoder/` and
            `summary.json` are in it.
        config: the resolved config of the newest part; its own folder in it is `folder`, wherever
            it was.
        made_from: fingerprints of what the run was begun with, by what they are of.
        parts: the changes since it began, the oldest first.
    """

    folder: Path
    config: DictConfig
    made_from: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """Read an existing run.

        Raises:
            UserError: the folder is no run directory, its config would build what no config may
                build, or its encoder runs code of its own and the environment does not say that it
                may.
        """
        # A link stays right wherever the run's own files name their folder.
        folder = folder.resolve()
        check_run(folder)
        path = folder / "config.yaml"
        config = OmegaConf.load(path)
        if not isinstance(config, DictConfig):
            raise UserError(f"settings in {path}", "a list", "Restore the file that the run wrote.")
        # The run wrote plain values: a reference to another key, or to the environment, is none of
        # its own.
        content: Any = OmegaConf.to_container(config)
        record = content.pop("record", {})
        content = with_new_names(content)
        check_targets(content, str(path))
        _check_code(content, path)
        written = OmegaConf.select(config, "trainer.default_root_dir")
        if isinstance(written, str) and written:
            # A copy, or a run that was moved: its callbacks must not write to where it was.
            content = renamed(content, written, str(folder))
        parts = tuple(Part(part["from_step"], tuple(part["overrides"])) for part in record.get("parts", []))
        return cls(folder, OmegaConf.create(content), record.get("made_from", {}), parts)

    def write(self) -> None:
        """Write `config.yaml`, whole or not at all: the config, and as `record` what the run was
        made from and its parts.
        """
        record = {"made_from": dict(self.made_from), "parts": [asdict(part) for part in self.parts]}
        content = {**_plain(self.config), "record": record}
        with whole_file(self.folder / "config.yaml") as partial:
            OmegaConf.save(OmegaConf.create(content), partial)

    def check_made_from(self, made_from: Mapping[str, str]) -> None:
        """Raise `UserError`, naming what differs, unless the run was begun with what has these fingerprints."""
        for name, now in made_from.items():
            before = self.made_from.get(name, now)
            if now != before:
                raise UserError(
                    f"the {name} that the run in {self.folder} was begun with (fingerprint {before[:16]})",
                    f"another content there now ({now[:16]})",
                    "Restore it as it was, or start a new run on what is there now: the same options without resume=.",
                )

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.folder / "checkpoints"

    def newest_checkpoint(self) -> tuple[Path, int] | None:
        """The intact checkpoint written last that a training can go on from, and its step; `None` if there is none."""
        return newest_checkpoint(self.checkpoints)

    def measured_checkpoint(self) -> Path:
        """The checkpoint with the best validation figure; in a run without any validation, the last one.

        Raises:
            UserError: there is none.
        """
        best = self.checkpoints / "best.ckpt"
        found = best if best.exists() else self.checkpoints / "last.ckpt"
        if not found.exists():
            raise UserError(
                f"a checkpoint in {self.checkpoints}",
                "none",
                f"Train first: resume={self.folder} goes on with the run.",
            )
        return found

    @property
    def cross(self) -> bool:
        """Whether it trains a cross-encoder."""
        return OmegaConf.select(self.config, "model.cross_encoder") is not None

    @property
    def learner(self) -> str:
        """The part of its module that it trains, as the module's config and the exported folder name it."""
        return "cross_encoder" if self.cross else "encoder"

    @property
    def trained_name(self) -> str:
        """What was trained, as its config names it."""
        return str(self.config.model[self.learner].name_or_path)

    @property
    def exported(self) -> Path:
        """Where the run writes what it has trained."""
        return self.folder / self.learner

    def check_encoder(self) -> None:
        """Raise `UserError` where the run trained a cross-encoder."""
        if self.cross:
            raise UserError(
                f"a run that trained an encoder in {self.folder}",
                "one that trained a cross-encoder",
                f"Name an encoder here; what it trained is named by rerank={self.exported}.",
            )

    def encoder(self) -> Encoder:
        """The encoder with the weights of `measured_checkpoint`, adapters merged.

        Raises:
            UserError: as `check_encoder`.
        """
        self.check_encoder()
        encoder: Encoder = build(self.config.model.encoder)
        encoder.load_state_dict(weights_of(self.measured_checkpoint()))
        encoder.merge_adapters()
        return encoder.eval()

    def summary(self) -> dict[str, Any]:
        """The figures that the finished run wrote."""
        content: dict[str, Any] = read_json(self.folder / "summary.json")
        return content

    def ranking(self) -> RankingChoice | None:
        """The mixing at ranking time that validation has chosen; `None` where none was chosen from."""
        return RankingChoice.read(self.folder)

    def export(
        self, folder: Path, replace: bool = False, licence: str | None = None, evaluation: Path | None = None
    ) -> None:
        """Write the encoder to a new folder, with a model card and the mixing that was chosen for it;
        or the cross-encoder, which has neither.

        Args:
            replace: whether what stands there may be replaced; the old one stays until the new one
                is whole.
            licence: as of `card`.
            evaluation: as of `card`.

        Raises:
            UserError: the folder holds something and `replace` is false, the run has no checkpoint,
                or the evaluation is of another encoder.
        """
        if not replace:
            check_vacant(folder)
        if self.cross:
            self._export_cross_encoder(folder, replace, licence or evaluation)
            return
        encoder = self.encoder()
        files = {"README.md": self.card(encoder, licence, evaluation)}
        if choice := self.ranking():
            choice.check(encoder.embedding_fingerprint(), self.folder)
            files[FILE] = choice.text
        encoder.save(folder, files, replace)

    def _export_cross_encoder(self, folder: Path, replace: bool, for_card: object) -> None:
        if for_card:
            raise UserError("neither licence nor evaluation", str(for_card), "A cross-encoder gets no model card.")
        cross_encoder: CrossEncoder = build(self.config.model.cross_encoder)
        cross_encoder.load_state_dict(weights_of(self.measured_checkpoint(), self.learner))
        cross_encoder.save(folder, replace)

    def card(
        self, encoder: Encoder, licence: str | None = None, evaluation: Path | None = None, graph: str | None = None
    ) -> str:
        """The model card of the run's encoder.

        Args:
            licence: its id on the hub.
            evaluation: a folder that `evaluate` wrote of this encoder; its counterfactual pairs go
                into the card.
            graph: as of `model_card`.

        Raises:
            UserError: the evaluation is none, or of another encoder.
        """
        figures = self.summary() if (self.folder / "summary.json").exists() else {}
        changes = [str(part) for part in self.parts]
        fairness = "" if evaluation is None else fairness_of(evaluation, encoder)
        return model_card(self.config, encoder, figures, intervals_of(self.folder), changes, licence, fairness, graph)


def open_encoder(name: str) -> tuple[Encoder, Run | None]:
    """The encoder of a run directory's best checkpoint and the run, or whatever `Encoder` loads; in evaluation mode.

    Raises:
        UserError: a folder is neither a run directory nor an encoder's, or what it holds cannot be
            loaded.
    """
    folder = Path(name)
    if (folder / "config.yaml").is_file():
        run = Run.open(folder)
        return run.encoder(), run
    if folder.is_dir() and not any((folder / file).exists() for file in ("config.json", "modules.json")):
        raise UserError(
            "a run directory (with config.yaml) or an encoder's folder (with config.json or modules.json)",
            f"{folder} with neither",
            "Name outputs/<project>/<time>, or the folder that export wrote.",
        )
    return Encoder(name).eval(), None


def _check_code(content: Mapping[str, Any], path: Path) -> None:
    """A run directory is a document from outside: its word alone runs nobody's code."""
    for part in ("encoder", "cross_encoder"):
        key = f"model.{part}.trust_remote_code"
        asked = OmegaConf.select(OmegaConf.create(dict(content)), key)
        if asked and os.environ.get(TRUST) != "1":
            raise UserError(
                f"your word that the {part} of {path.parent} may run code of its own",
                f"{key}={asked} in {path}",
                f"If you trust that code, say so in the environment: {TRUST}=1",
            )


def weights_of(checkpoint: Path, part: str = "encoder") -> dict[str, Any]:
    """The weights of a part of the module in a checkpoint."""
    weights = load_checkpoint(checkpoint, mmap=True)["state_dict"]
    return {key.removeprefix(f"{part}."): value for key, value in weights.items() if key.startswith(f"{part}.")}


def _plain(config: DictConfig) -> dict[Any, Any]:
    content = OmegaConf.to_container(config, resolve=True)
    assert isinstance(content, dict)
    return content
