"""A soup: the mean of the weights of encoders that were trained from the same one."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from torch import Tensor

from hr_retrieval.config.build import build
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.wording import check_prompts
from hr_retrieval.errors import UserError
from hr_retrieval.files import check_vacant
from hr_retrieval.merge.validation import Validation
from hr_retrieval.runs.card import model_card
from hr_retrieval.runs.checkpoints import progress
from hr_retrieval.runs.directory import Run
from hr_retrieval.runs.figures import check_same_data, read_runs

METHODS = ("greedy", "uniform")
BEFORE = "before training"

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Member:
    """One of the encoders that may be in a soup.

    Attributes:
        name: the run directory, or `before training`.
        checkpoint: what its weights are of, in words.
        figure: of its own validation.
        taken: whether it is in the soup.
    """

    name: str
    checkpoint: str
    figure: float
    taken: bool


@dataclass(frozen=True)
class Soup:
    """What was merged.

    Attributes:
        method: greedy or uniform.
        metric: of the validation.
        figure: of the soup's validation.
        members: all that might have been in it, the best first.
    """

    method: str
    metric: str
    figure: float
    members: tuple[Member, ...]


def merge(
    runs: Sequence[str], output: Path, method: str = "greedy", before: bool = True, metric: str | None = None
) -> Soup:
    """Write the mean of the weights of runs' measured checkpoints as an encoder's folder, with `merge.json`.

    `uniform` is the mean of all members. `greedy` goes through them from the best on validation down,
    and keeps each with which the mean of those kept is no worse on validation than without it: the
    result is no worse there than the best member. Source: Wortsman et al., Model soups, ICML 2022
    (arXiv 2203.05482).

    Args:
        runs: globs of run directories of one data set and one encoder before training.
        output: a new or empty folder.
        before: whether the encoder before training is a member too.
        metric: what validation chooses by; `None` for what the runs monitor.

    Raises:
        UserError: there is no finished run, the runs differ in data or in the encoder that they
            began with, a value is out of range, or the encoder cannot be exported.
    """
    if method not in METHODS:
        raise UserError(f"method to be {' or '.join(METHODS)}", repr(method), "greedy is the default.")
    check_vacant(output)
    finished, _ = read_runs(runs, tested=False)
    check_same_data(finished)
    opened = [Run.open(one.folder) for one in finished]
    _check_origin(opened)
    first = opened[0]
    encoder: Encoder = build(first.config.model.encoder).eval()
    encoder.merge_adapters()
    check_prompts(encoder.suffixes)
    validation = Validation(first.config, finished[0].data, encoder, metric)

    start = {name: weight.detach().clone() for name, weight in encoder.state_dict().items()}
    kitchen = _Kitchen(encoder, validation, {str(run.folder): run for run in opened}, start)
    names = [*kitchen.runs, *([BEFORE] if before else [])]
    members = [Member(name, kitchen.checkpoint(name), kitchen.figure(kitchen.weights(name)), False) for name in names]
    members.sort(key=lambda member: -member.figure)
    taken, weights = kitchen.uniform(members) if method == "uniform" else kitchen.greedy(members)
    soup = Soup(
        method,
        validation.metric,
        kitchen.figure(weights),
        tuple(replace(member, taken=member.name in taken) for member in members),
    )
    content = json.dumps(asdict(soup), ensure_ascii=False, indent=2) + "\n"
    encoder.save(output, {"README.md": _card(first, soup, encoder), "merge.json": content})
    return soup


@dataclass
class _Kitchen:
    """One encoder, into which weights are put to be measured.

    Attributes:
        start: the weights before training.
    """

    encoder: Encoder
    validation: Validation
    runs: dict[str, Run]
    start: Weights

    def weights(self, name: str) -> Weights:
        """Those of a member; read each time, since not all may fit the memory together."""
        return self.start if name == BEFORE else self.runs[name].encoder().state_dict()

    def checkpoint(self, name: str) -> str:
        """What its weights are of."""
        if name == BEFORE:
            return self.encoder.name_or_path
        path = self.runs[name].measured_checkpoint()
        return f"{path.stem}, step {progress(path)[0]}"

    def figure(self, weights: Weights) -> float:
        """Of the validation with these weights, which the encoder keeps."""
        self.encoder.load_state_dict(weights)
        return self.validation.figure()

    def uniform(self, members: Sequence[Member]) -> tuple[set[str], Weights]:
        """All members, and their mean."""
        total = None
        for member in members:
            total = _plus(total, self.weights(member.name))
        assert total is not None, "there is a run"
        return {member.name for member in members}, _mean(total, len(members), self.start)

    def greedy(self, members: Sequence[Member]) -> tuple[set[str], Weights]:
        """The members that are kept, and their mean."""
        taken, total, best = [members[0].name], _plus(None, self.weights(members[0].name)), members[0].figure
        for member in members[1:]:
            tried = _plus(total, self.weights(member.name))
            figure = self.figure(_mean(tried, len(taken) + 1, self.start))
            if figure >= best:
                total, best = tried, figure
                taken.append(member.name)
        return set(taken), _mean(total, len(taken), self.start)


def _plus(total: Weights | None, weights: Weights) -> Weights:
    """Sums in float64, so that their order changes nothing that float32 shows."""
    return {
        name: weight.double() if total is None else total[name] + weight.double() for name, weight in weights.items()
    }


def _mean(total: Weights, count: int, like: Weights) -> Weights:
    return {name: (weight / count).to(like[name].dtype) for name, weight in total.items()}


def _check_origin(runs: Sequence[Run]) -> None:
    """Raise `UserError` unless all runs trained one encoder, without which a mean of weights means nothing."""
    first = runs[0]
    for run in runs:
        run.check_encoder()
    for run in runs[1:]:
        if run.made_from.get("encoder") != first.made_from.get("encoder"):
            raise UserError(
                "runs that began with the same encoder",
                f"{_name(first)} in {first.folder} and {_name(run)} in {run.folder}",
                "The mean of weights of different encoders is none: narrow runs=.",
            )


def _name(run: Run) -> str:
    return f"{run.config.model.encoder.name_or_path} ({str(run.made_from.get('encoder'))[:12]})"


def _card(run: Run, soup: Soup, encoder: Encoder) -> str:
    """The model card of the first run without its figures, and what was merged."""
    config: Any = OmegaConf.create(OmegaConf.to_container(run.config))
    lines = [
        "## Merged",
        "",
        f"The mean of the weights of {sum(member.taken for member in soup.members)} encoders ({soup.method} soup), validation "
        f"{soup.metric} {soup.figure:.4f}. The settings above are those of one of them.",
        "",
        *(
            f"* {member.name} ({member.checkpoint}): {soup.metric} {member.figure:.4f}{'' if member.taken else ', not taken'}"
            for member in soup.members
        ),
    ]
    return model_card(config, encoder, {}, {}) + "\n" + "\n".join(lines) + "\n"
