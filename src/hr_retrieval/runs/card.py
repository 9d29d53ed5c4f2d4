"""The model card of an exported encoder, in the form of the Hugging Face hub."""

from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import ModelCardData
from omegaconf import DictConfig, OmegaConf

from hr_retrieval.encoder.folder import hub_name
from hr_retrieval.markdown import markdown_table
from hr_retrieval.runs.ranking import FILE, sentences


def model_card(config: DictConfig, figures: Mapping[str, Any], changes: Sequence[str] = ()) -> str:
    """Data, settings and figures of a run.

    Args:
        config: of its newest part.
        figures: as `summary.json` has them; empty for none.
        changes: from which step on it was trained with which other settings.
    """
    settings = OmegaConf.to_yaml(
        OmegaConf.create({name: config[name] for name in ("model", "optimizer", "scheduler", "datamodule", "seed")})
    )
    name = config.model.encoder.name_or_path
    head = ModelCardData(
        library_name="sentence-transformers",
        pipeline_tag="sentence-similarity",
        tags=["sentence-transformers", "feature-extraction", "retrieval", "hr"],
        # The hub refuses anything but the name of a model on it; `trained_from` is what `evaluate`
        # compares with.
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
        *(
            ["Of the newest part of the training; it was changed", "", *(f"* {change}" for change in changes), ""]
            if changes
            else []
        ),
        "```yaml",
        settings.rstrip(),
        "```",
        "",
        "Rankings of people and jobs can carry the bias of the data: measure it on your own before use.",
    ]
    return "\n".join(lines) + "\n"


def _ranking(ranking: Mapping[str, Any] | None) -> list[str]:
    said = [*sentences(ranking), ""]
    if ranking and ranking["parts"]:
        said[-1:] = [f"`{FILE}` holds it: hr_retrieval applies it, and Sentence Transformers ranks without it.", ""]
    return said


def _figures(figures: Mapping[str, Any]) -> list[str]:
    measured = {name: figures[name] for name in ("zero_shot", "without_mixing", "trained") if figures.get(name)}
    if not measured:
        return []
    names = list(next(iter(measured.values())))
    return [
        "## Figures",
        "",
        *([f"Weights of {figures['checkpoint']}.", ""] if figures.get("checkpoint") else []),
        f"Split `{figures['split']}`: {figures['queries']} queries, {figures['documents']} documents, exact ranks.",
        "",
        *_ranking(figures.get("ranking")),
        markdown_table(
            [["", *names], *([row, *(f"{values[name]:.4f}" for name in names)] for row, values in measured.items())]
        ),
        "",
    ]
