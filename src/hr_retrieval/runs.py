"""A run directory: its config, its checkpoints, its figures; the only reader of checkpoints."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData
from omegaconf import DictConfig, OmegaConf

from hr_retrieval.buildable import check_targets
from hr_retrieval.checkpoints import load_checkpoint, newest_checkpoint
from hr_retrieval.config import build
from hr_retrieval.errors import UserError
from hr_retrieval.files import check_vacant, read_json, renamed, whole_file
from hr_retrieval.markdown import markdown_table
from hr_retrieval.model.encoder import Encoder
from hr_retrieval.model.folder import hub_name


@dataclass(frozen=True)
class Run:
    """One run directory.

    Attributes:
        folder: `config.yaml`, `checkpoints/`, `metrics.csv`, `tensorboard/`, `encoder/` and `summary.json` are in it.
        config: the resolved config that the run was started with; its own folder in it is `folder`, wherever it was.
    """

    folder: Path
    config: DictConfig

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """Read an existing run.

        Raises:
            UserError: the folder is no run directory, or its config would build what no config may build.
        """
        path = folder / "config.yaml"
        if not path.is_file():
            raise UserError(
                "a run directory with config.yaml",
                f"{folder} without it",
                "Name a folder such as outputs/<project>/<time>.",
            )
        config = OmegaConf.load(path)
        if not isinstance(config, DictConfig):
            raise UserError(f"settings in {path}", "a list", "Restore the file that the run wrote.")
        # The run wrote plain values: a reference to another key, or to the environment, is none of its own.
        content = OmegaConf.to_container(config)
        check_targets(content, str(path))
        written = OmegaConf.select(config, "trainer.default_root_dir")
        if isinstance(written, str) and written:
            # A copy, or a run that was moved: its callbacks must not write to where it was.
            config = OmegaConf.create(renamed(content, written, str(folder.absolute())))
        return cls(folder, config)

    @classmethod
    def create(cls, folder: Path, config: DictConfig) -> "Run":
        """Begin a new run: write the resolved config. A folder that holds a run already is refused."""
        check_new(folder)
        with whole_file(folder / "config.yaml") as partial:
            OmegaConf.save(config, partial)
        return cls(folder, config)

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.folder / "checkpoints"

    def newest_checkpoint(self) -> Path | None:
        """The intact checkpoint written last, or `None` before the first."""
        return newest_checkpoint(self.checkpoints)

    def best_checkpoint(self) -> Path:
        """The checkpoint with the best validation figure.

        Raises:
            UserError: there is none.
        """
        path = self.checkpoints / "best.ckpt"
        if not path.exists():
            raise UserError(
                f"a best checkpoint in {self.checkpoints}",
                "none",
                "Train for at least one epoch with validation first.",
            )
        return path

    def encoder(self) -> Encoder:
        """The encoder with the weights of the best checkpoint."""
        encoder: Encoder = build(self.config.model.encoder)
        encoder.load_state_dict(encoder_weights(self.best_checkpoint()))
        return encoder.eval()

    def summary(self) -> dict[str, Any]:
        """The figures that the finished run wrote."""
        content: dict[str, Any] = read_json(self.folder / "summary.json")
        return content

    def export(self, folder: Path) -> None:
        """Write the best encoder to a new folder, with a model card.

        Raises:
            UserError: the folder holds something, or the run has no best checkpoint.
        """
        check_vacant(folder)
        figures = self.summary() if (self.folder / "summary.json").exists() else {}
        self.encoder().save(folder, model_card=model_card(self.config, figures))


def open_encoder(name: str) -> tuple[Encoder, Run | None]:
    """The encoder of a run directory's best checkpoint and the run, or whatever `Encoder` loads; in evaluation mode.

    Raises:
        UserError: a folder is neither a run directory nor an encoder's, or what it holds cannot be loaded.
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


def check_new(folder: Path) -> None:
    """Raise `UserError` if the folder holds a run already."""
    if (folder / "config.yaml").exists():
        raise UserError(
            "a new run directory",
            f"{folder}, which holds a run",
            f"Go on with resume={folder}, or name another output.",
        )


def encoder_weights(checkpoint: Path) -> dict[str, Any]:
    """The encoder's part of a checkpoint's weights."""
    weights = load_checkpoint(checkpoint)["state_dict"]
    return {key.removeprefix("encoder."): value for key, value in weights.items() if key.startswith("encoder.")}


def model_card(config: DictConfig, figures: Mapping[str, Any]) -> str:
    """A model card in the hub's form: data, settings, figures."""
    settings = OmegaConf.to_yaml(
        OmegaConf.create({name: config[name] for name in ("model", "optimizer", "scheduler", "datamodule", "seed")})
    )
    name = config.model.encoder.name_or_path
    head = ModelCardData(
        library_name="sentence-transformers",
        pipeline_tag="sentence-similarity",
        tags=["sentence-transformers", "feature-extraction", "retrieval", "hr"],
        # The hub refuses anything but the name of a model on it; `trained_from` is what `evaluate` compares with.
        base_model=hub_name(name),
        trained_from=name,
    )
    lines = [
        "---",
        head.to_yaml(),
        "---",
        "",
        f"# {config.project}",
        "",
        f"An encoder for HR retrieval, trained with hr_retrieval from `{name}` "
        f"on `{config.data.name}` ({config.data.licence}).",
        "",
        *_figures(figures),
        "## Settings",
        "",
        "```yaml",
        settings.rstrip(),
        "```",
        "",
        "Rankings of people and jobs can carry the bias of the data: measure it on your own before use.",
    ]
    return "\n".join(lines) + "\n"


def _figures(figures: Mapping[str, Any]) -> list[str]:
    measured = {name: figures[name] for name in ("zero_shot", "trained") if figures.get(name)}
    if not measured:
        return []
    names = list(next(iter(measured.values())))
    return [
        "## Figures",
        "",
        f"Split `{figures['split']}`: {figures['queries']} queries, {figures['documents']} documents, exact ranks.",
        "",
        markdown_table(
            [["", *names], *([row, *(f"{values[name]:.4f}" for name in names)] for row, values in measured.items())]
        ),
        "",
    ]
