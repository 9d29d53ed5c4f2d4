"""The model card of an exported encoder, in the form of the Hugging Face hub."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hr_retrieval.config.sources import data_nodes, listed
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.languages import short_name
from hr_retrieval.errors import UserError
from hr_retrieval.files import read_json
from hr_retrieval.markdown import markdown_table
from hr_retrieval.runs.front_matter import Interval, front_matter
from hr_retrieval.runs.ranking import FILE, sentences
from hr_retrieval.runs.usage import usage

# Figures of the table, in its order.
_SHOWN = ("mrr", "pass@1", "pass@5", "recall@10", "ndcg@10", "map")
_COLUMNS = {"zero_shot": "before training", "without_mixing": "without mixing", "trained": "trained"}


def model_card(
    config: DictConfig,
    encoder: Encoder,
    figures: Mapping[str, Any],
    intervals: Mapping[str, Interval],
    changes: Sequence[str] = (),
    licence: str | None = None,
    fairness: str = "",
    graph: str | None = None,
) -> str:
    """How to use it, figures, data, limits and settings.

    Args:
        config: of the newest part of the run.
        encoder: what is exported.
        figures: as `summary.json` has them; empty for none.
        intervals: of the figures with the best checkpoint, 95 % over queries.
        changes: from which step on it was trained with which other settings.
        licence: its id on the hub; `None` says that it follows from data and origin.
        fairness: a section on counterfactual pairs, where they were measured.
        graph: for the folder of an ONNX graph, what is to be said of it; `None` for any other.
    """
    origin, data = str(config.model.encoder.name_or_path), _data(config)
    name = f"{short_name(origin)}-{'-'.join(data)}"
    texts = figures.get("texts", {})
    parts = [
        front_matter(name, origin, [*data], figures, intervals, licence, ["onnx"] if graph is not None else []),
        f"# {name}\n",
        f"An encoder for HR retrieval: `{origin}`, trained with hr_retrieval on "
        + " and ".join(f"`{own}` ({terms})" for own, terms in data.items())
        + f". It gives unit vectors of {encoder.embedding_dimension} dimensions.\n",
        *([graph + "\n"] if graph else []),
        usage(encoder, graph is not None),
        _figures(figures, intervals),
        _examples(texts.get("examples", [])),
        *([_folded("Fairness: counterfactual pairs", fairness)] if fairness else []),
        _limits(encoder, texts),
        _folded("Settings", _settings(config, changes)),
    ]
    return "\n".join(part for part in parts if part)


def fairness_of(evaluation: Path, encoder: Encoder) -> str:
    """The section on counterfactual pairs of an evaluation.

    Raises:
        UserError: the evaluation is of another encoder, or without such pairs.
    """
    measured = read_json(evaluation / "metrics.json").get("encoder", {}).get("fingerprint")
    own = encoder.embedding_fingerprint()
    section = evaluation / "counterfactuals.md"
    if measured != own:
        raise UserError(
            f"an evaluation of this encoder (fingerprint {own[:16]})",
            f"{evaluation}, of another one ({str(measured)[:16]})",
            "Evaluate this run.",
        )
    if not section.is_file():
        raise UserError(
            f"counterfactual pairs in {evaluation}", "none", "Evaluate without counterfactuals=null, or leave it out."
        )
    return section.read_text(encoding="utf-8").partition("\n")[2].strip()


def _data(config: DictConfig) -> dict[str, str]:
    """What it was trained on: names and licences; of folders that were named by themselves, their names."""
    folder = config.datamodule.folder
    known = {data.folder: (data.name, data.licence) for data in data_nodes(config.data)}
    return dict(known.get(one, (Path(one).name, "licence not stated")) for one in listed(folder))


def _figures(figures: Mapping[str, Any], intervals: Mapping[str, Interval]) -> str:
    measured = {title: figures[name] for name, title in _COLUMNS.items() if figures.get(name)}
    if not measured:
        return ""
    sources = figures.get("sources", {})
    names = [*_SHOWN, *(f"{source}/{_SHOWN[0]}" for source in sources)]
    spans = {name: f"{low:.4f} to {high:.4f}" for name, (low, high) in intervals.items()}
    header = ["test", *measured, *(["95 % interval"] if spans else [])]
    body = [
        [name, *(f"{own[name]:.4f}" for own in measured.values()), *([spans.get(name, "")] if spans else [])]
        for name in names
    ]
    lines = [
        "## Figures",
        "",
        *([f"Weights of {figures['checkpoint']}."] if figures.get("checkpoint") else []),
        f"{figures['queries']:,} queries of the {figures['split']} split, each ranked over {figures['corpus']}, exact "
        "ranks."
        if figures.get("corpus")
        else f"{figures['queries']:,} queries of the {figures['split']} split, {figures['documents']:,} documents, exact "
        "ranks.",
        "",
        markdown_table([header, *body]),
        "",
        *_ranking(figures.get("ranking")),
        *_sources(sources),
    ]
    return "\n".join(lines)


def _ranking(ranking: Mapping[str, Any] | None) -> list[str]:
    said = [*sentences(ranking), ""]
    if ranking and ranking["parts"]:
        said[-1:] = [f"`{FILE}` holds it: hr_retrieval applies it, and Sentence Transformers ranks without it.", ""]
    return said


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


def _examples(examples: Sequence[Mapping[str, Any]]) -> str:
    if not examples:
        return ""
    rows = [[one["query"], one["found"], "yes" if one["right"] else "no"] for one in examples]
    return "\n".join(
        [
            "## Examples",
            "",
            "The first test queries by lot, and what ranks first, without mixing at ranking time.",
            "",
            markdown_table([["query", "first document", "right"], *rows], text=range(3)),
            "",
        ]
    )


def _limits(encoder: Encoder, texts: Mapping[str, Any]) -> str:
    words = texts.get("tokens_a_word")
    about = f", about {encoder.max_length / words:.0f} words of texts like these" if words else ""
    return "\n".join(
        [
            "## Limits",
            "",
            f"* Of each text the first {encoder.max_length} tokens are read{about}.",
            "* The figures are of this data: measure the encoder on your own before use.",
            "* Rankings of people and jobs can carry the bias of the data. They are no ground to reject anybody.",
            "",
        ]
    )


def _settings(config: DictConfig, changes: Sequence[str]) -> str:
    own = OmegaConf.create({name: config[name] for name in ("model", "optimizer", "scheduler", "datamodule", "seed")})
    changed = ["Of the newest part of the training; it was changed", "", *(f"* {change}" for change in changes), ""]
    return "\n".join([*(changed if changes else []), "```yaml", OmegaConf.to_yaml(own).rstrip(), "```"])


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{content.rstrip()}\n\n</details>\n"
