"""What a reader of a comparison must know, in sentences."""

from collections.abc import Sequence

from hr_retrieval.baselines.figures import Baseline
from hr_retrieval.compare.differences import p_against
from hr_retrieval.compare.groups import Group
from hr_retrieval.compare.settings import values_of
from hr_retrieval.markdown import number
from hr_retrieval.retrieval.significance import holm
from hr_retrieval.retrieval.verdict import SIGNIFICANT

# Groups of a kind that a verdict names.
_NAMED = 4


def remarks(groups: Sequence[Group], base: Group | None, data: Sequence[str], varying: Sequence[str]) -> list[str]:
    """What the figures are, and what is missing.

    Args:
        data: names of the prepared data sets of each run.
    """
    runs = [run for group in groups for run in group.runs]
    against = "its own encoder before training (zero-shot)" if base is None else base.name
    told = [
        f"Data {', '.join(data)} (fingerprint {runs[0].data[:12]}): {runs[0].queries} test queries, each ranked over "
        f"{runs[0].documents} documents"
        + (
            ", those of its own data set only; figures are the mean of the data sets by their shares."
            if len(data) > 1
            else "."
        ),
        "Figures are mean ± standard deviation over seeds; in brackets the encoder before training.",
        f"Differences are from {against}. p (queries): randomisation test on each query's mean over seeds, which "
        "speaks of these seeds alone. p (seeds): t-test with random effects of seeds and queries, seeds paired where both sides "
        "have the same ones. Both are adjusted by Holm over all groups.",
    ]
    if any(spread.n == 1 for group in groups for spread in group.figures.values()):
        told.append("A group of one seed has no spread and no p (seeds): run more, such as seed=1,2,3,4,5.")
    within = [key for key in varying if any(len(values_of(group.runs, key)) > 1 for group in groups)]
    if within:
        told.append(f"Runs within a group differ in {', '.join(within)}: name these in by= to tell them apart.")
    untested = [group.name for group in groups if group.difference and group.difference.p_queries is None]
    if untested:
        told.append(f"Not tested, without figures of the same queries on both sides: {'; '.join(untested)}.")
    return told


def verdict(groups: Sequence[Group], base: Group | None, metric: str) -> str:
    """Which groups are better than what they are compared with, by how much and how sure, in one sentence or two."""
    kinds: dict[str, list[str]] = {
        "better": [],
        "worse": [],
        "neither better nor worse, beyond chance,": [],
        "not tested": [],
    }
    for group in groups:
        if group.difference is None:
            continue
        one, p, over = group.difference, group.difference.p_seeds, "over seeds and queries"
        if p is None:
            p, over = one.p_queries, "over queries"
        kind = list(kinds)[3 if p is None else 2 if p >= SIGNIFICANT else 0 if one.mean > 0 else 1]
        kinds[kind].append(
            f"{group.name} ({one.mean:+.4f} {metric}" + ("" if p is None else f", p = {p:.4f} {over}") + ")"
        )
    against = "before training" if base is None else base.name
    told = []
    for kind, names in kinds.items():
        shown = names if len(names) <= _NAMED else [*names[:_NAMED], f"{len(names) - _NAMED} more"]
        if names:
            told.append(f"{kind.capitalize()}{'' if kind == 'not tested' else f' than {against}'}: {'; '.join(shown)}.")
    return " ".join(told)


def choice(chosen: Group | None, groups: Sequence[Group], metric: str) -> list[str]:
    """What validation chooses, in a sentence; nothing where there is nothing to choose from."""
    if len(groups) < 2:
        return []
    if chosen is None:
        return [f"Nothing is chosen: not every run took down its validation {metric} (callbacks.metrics_file)."]
    return [
        f"Chosen by validation {metric} ({chosen.validation[metric].mean:.4f}): {chosen.name}. Its test {metric} is "
        f"{chosen.figures[metric].mean:.4f}. The rows stand in the order of the test figures, which are no ground to choose by."
    ]


def losses(baseline: Baseline, groups: Sequence[Group], metric: str) -> list[str]:
    """A sentence that names the groups that the baseline beats, with p-values of the randomisation
    test, adjusted by Holm.
    """
    figure = baseline.figures.get(metric)
    beaten = [group for group in groups if figure is not None and group.figures[metric].mean < figure]
    if not beaten:
        return []
    raw = {group.name: p_against(group, baseline, metric) for group in beaten}
    adjusted = holm({name: value for name, value in raw.items() if value is not None})
    if len(beaten) == len(groups) > 1:
        worst = max(adjusted.values()) if len(adjusted) == len(beaten) else None
        who = f"every group (p at most {number(worst, '.4f')})"
    else:
        who = "; ".join(
            f"{group.name} ({group.figures[metric].mean:.4f}, p = {number(adjusted.get(group.name), '.4f')})"
            for group in beaten
        )
    return [f"{baseline.name} ({metric} {figure:.4f}), which needs no training, beats {who}."]
