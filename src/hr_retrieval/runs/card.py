"""The model card of an exported encoder, in the form of the Hugging Face hub."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData
from omegaconf import DictConfig, OmegaConf

from hr_retrieval.config.sources import data_nodes
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
        f"An encoder for HR retrieval, trained with hr_retrieval from `{name}` on {_data(config)}.",
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


def _data(config: DictConfig) -> str:
    """What it was trained on: names and licences, or the folders that were named by themselves."""
    folder = config.datamodule.folder
    known = {data.folder: f"`{data.name}` ({data.licence})" for data in data_nodes(config.data)}
    folders = [folder] if isinstance(folder, str) else folder
    return " and ".join(known.get(one, f"`{Path(one).name}`") for one in folders)


def _ranking(ranking: Mapping[str, Any] | None) -> list[str]:
    said = [*sentences(ranking), ""]
    if ranking and ranking["parts"]:
        said[-1:] = [f"`{FILE}` holds it: hr_retrieval applies it, and Sentence Transformers ranks without it.", ""]
    return said


def _figures(figures: Mapping[str, Any]) -> list[str]:
    measured = {name: figures[name] for name in ("zero_shot", "without_mixing", "trained") if figures.get(name)}
    if not measured:
        return []
    names = [name for name in next(iter(measured.values())) if name.split("/")[0] not in figures.get("sources", {})]
    return [
        "## Figures",
        "",
        *([f"Weights of {figures['checkpoint']}.", ""] if figures.get("checkpoint") else []),
        f"Split `{figures['split']}`: {figures['queries']} queries, {figures['documents']} documents, exact ranks.",
        "",
        *_ranking(figures.get("ranking")),
        markdown_table([["", *names], *_rows(measured, figures.get("sources", {}), names)]),
        "",
        *_sources(figures.get("sources", {})),
    ]


def _rows(measured: Mapping[str, Mapping[str, float]], sources: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    """A row for each measurement, and below it one for each of several sources."""
    rows = []
    for row, values in measured.items():
        rows.append([row, *(f"{values[name]:.4f}" for name in names)])
        rows += [[f"{row}: {source}", *(f"{values[f'{source}/{name}']:.4f}" for name in names)] for source in sources]
    return rows


def _sources(sources: Mapping[str, Any]) -> list[str]:
    """What each of several sources is, a line each."""
    if not sources:
        return []
    lines = ["Of several sources, the figures are the mean by their shares:", ""]
    for name, own in sources.items():
        lines.append(
            f"* `{name}`: share {own['share']:.2f}, {own['queries']} queries over {own['documents']} documents."
        )
        lines += [f"  * Left out of training: {leak}." for leak in own["left_out"]]
    return [*lines, ""]
