"""Runs side by side: real tiny ones by the command, and made-up ones with a known answer."""

import csv
import json
import re
import statistics
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from hr_retrieval.baselines.figures import lexical_baselines
from hr_retrieval.compare import __main__ as verb
from hr_retrieval.compare.comparison import Comparison, compare
from hr_retrieval.compare.report import markdown, write
from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.errors import UserError
from hr_retrieval.evaluate.evaluation import evaluate
from hr_retrieval.files import write_json
from hr_retrieval.retrieval.significance import crossed_test
from hr_retrieval.train import __main__ as train
from tests.conftest import TOY, Command

RUN = (*TOY, "optimizer.lr=1e-4", "export=false")
NONE, ANCHOR = "hr_retrieval.objective.mixing.NoMixing", "hr_retrieval.objective.mixing.AnchorMixing"
BEFORE = (0.5, 0.25, 0.2, 0.5, 0.125, 0.2)


def write_run(
    folder: Path,
    seed: int = 1,
    mixing: str = NONE,
    values: Sequence[float] = BEFORE,
    zero_shot: Sequence[float] | None = BEFORE,
    margin: float = 0.2,
    queries: Sequence[str] | None = None,
    validation: Sequence[str] = (),
    **summary: Any,
) -> Path:
    """A finished run with the given MRR of each query; `summary` overrides what summary.json says.

    `validation` are rows of metrics.csv: step, epoch, MRR, pass@1, loss.
    """
    own = {"_target_": mixing} | ({"seed": seed, "k": 3} if mixing == ANCHOR else {})
    config = {
        "project": folder.name,
        "seed": seed,
        "datamodule": {
            "folder": str(summary.pop("data_folder", folder / "nowhere")),
            "test_corpus": summary.pop("corpus", "all"),
            "identical_text": "ignore",
            "evaluation_queries": summary.pop("few", None),
            "seed": seed,
        },
        "callbacks": {"best": {"monitor": summary.pop("monitor", "validation/mrr"), "mode": "max"}},
        "model": {"mixing": own | summary.pop("mixing_options", {}), "loss": {"margin": margin}},
        "trainer": {"default_root_dir": str(folder), "max_epochs": 2},
    }
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    if validation:
        header = "step,epoch,validation/mrr,validation/pass@1,train/loss"
        (folder / "metrics.csv").write_text("\n".join([header, *validation]) + "\n")
    figures = {"zero_shot": None, "trained": measured(values), "queries": len(values), "documents": 9, "split": "test"}
    if zero_shot is not None:
        figures["zero_shot"] = measured(zero_shot)
        write_values(folder / "per_query_zero_shot.parquet", zero_shot, queries)
    write_values(folder / "per_query.parquet", values, queries)
    write_json(folder / "summary.json", figures | {"data": "d1", "seconds": 10.0} | summary)
    return folder


def measured(values: Sequence[float]) -> dict[str, float]:
    return {
        "mrr": statistics.mean(values),
        "pass@1": statistics.mean(float(value == 1) for value in values),
        "excluded": 0.0,
    }


def write_values(path: Path, values: Sequence[float], queries: Sequence[str] | None) -> None:
    ids = queries or [f"q{number}" for number in range(len(values))]
    pd.DataFrame({"query_id": ids, "mrr": values, "pass@1": [float(value == 1) for value in values]}).to_parquet(path)


def compared(tmp_path: Path, **options: Any) -> Comparison:
    return written([str(tmp_path / "runs" / "**")], tmp_path / "out", **options)


def written(runs: Sequence[str], folder: Path, **options: Any) -> Comparison:
    comparison = compare(runs, **options)
    write(comparison, folder)
    return comparison


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "comparison.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def naive_randomisation(a: Sequence[float], b: Sequence[float]) -> float:
    """Over all ways to swap the names, not a sample of them."""
    differences = [x - y for x, y in zip(a, b, strict=True)]
    observed = abs(sum(differences)) - 1e-12
    swapped = [
        abs(sum(d * s for d, s in zip(differences, signs, strict=True))) for signs in product((1, -1), repeat=len(a))
    ]
    return sum(value >= observed for value in swapped) / len(swapped)


def test_a_sweep_is_compared_by_one_command(command: Command, toy_dataset: Path, tmp_path: Path) -> None:
    command(train.main, "-m", *RUN, "model/mixing=none,anchor", "seed=1,2", "trainer.max_epochs=1", "project=s")
    folders = sorted(path.parent for path in (tmp_path / "multirun").glob("*/*/*/summary.json"))
    assert len(folders) == 4
    copy = tmp_path / "multirun" / "s" / "cut" / "0"
    copy.mkdir(parents=True)
    (copy / "config.yaml").write_bytes((folders[0] / "config.yaml").read_bytes())
    printed = command(
        verb.main, "runs=multirun/**", "by=[model.encoder.name_or_path,model.mixing]", "baseline=none", "metric=map", "output=out",
    )  # fmt: skip
    assert "Unfinished, not compared: multirun/s/cut/0" in printed
    table = {row["group"]: row for row in rows_of(tmp_path / "out")}
    for number, mixing in enumerate(("none", "anchor")):
        name = f"model.encoder.name_or_path=tiny, model.mixing={mixing}"
        summaries = [
            json.loads((folder / "summary.json").read_text()) for folder in folders[2 * number : 2 * number + 2]
        ]
        figures = [summary["trained"]["map"] for summary in summaries]
        assert float(table[name]["map_mean"]) == pytest.approx(statistics.mean(figures))
        assert float(table[name]["map_sd"]) == pytest.approx(statistics.stdev(figures))
        assert float(table[name]["map_zero_shot"]) == pytest.approx(summaries[0]["zero_shot"]["map"])
        assert (table[name]["runs"], table[name]["seeds"]) == ("2", "2")
        best = [best_validation(folder) for folder in folders[2 * number : 2 * number + 2]]
        assert float(table[name]["validation_mean"]) == pytest.approx(statistics.mean(best))
        assert re.search(rf"│ {re.escape(name)} +│ +2 │ +{statistics.mean(best):.4f} ±", printed)
        assert f" {statistics.mean(figures):.4f} ±" in printed
        assert all(0 < summary["training_seconds"] < summary["seconds"] for summary in summaries)
        training = statistics.mean(summary["training_seconds"] for summary in summaries)
        assert float(table[name]["training_seconds"]) == pytest.approx(training)
    evaluate("tiny", toy_dataset, tmp_path / "measured", base=None, counterfactuals=None)
    systems = json.loads((tmp_path / "measured" / "metrics.json").read_text())["systems"]
    for system in ("BM25", "character TF-IDF"):
        assert float(table[system]["map_mean"]) == pytest.approx(systems[system]["metrics"]["map"])
        assert re.search(rf"│ {system} +│ +- │ +- │ +{systems[system]['metrics']['map']:.4f} │", printed)
    # In words, and not as Markdown.
    assert "than model.encoder.name_or_path=tiny, model.mixing=none: model.encoder" in printed
    assert "| --- |" not in printed
    assert "Chosen by validation map (" in printed
    assert table[name]["p_queries"]
    document = (tmp_path / "out" / "comparison.md").read_text()
    assert "multirun/s/cut/0" in document
    assert all(str(folder.relative_to(tmp_path)) in document for folder in folders)
    for file in ("comparison.md", "comparison.csv", "comparison.html"):
        assert f"out/{file}" in printed
    # The curve of each group: before training, and after its one epoch.
    drawn = charts(tmp_path / "out")[0]["data"]
    assert [trace["x"] for trace in drawn if "name" in trace] == [[0, 1], [0, 1]]


def best_validation(run: Path) -> float:
    """The MAP of the validation with the best MRR, before training aside."""
    table = pd.read_csv(run / "metrics.csv").query("step > 0").dropna(subset=["validation/mrr"])
    return float(table.loc[table["validation/mrr"].idxmax(), "validation/map"])


def charts(folder: Path) -> list[Any]:
    """What the page draws."""
    (drawn,) = re.findall(r"of (\[.*\])\.entries\(\)\)Plotly", (folder / "comparison.html").read_text())
    return list(json.loads(drawn))


def test_a_run_leaves_the_figures_of_each_query(command: Command, toy_dataset: Path, tmp_path: Path) -> None:
    command(train.main, *RUN, "trainer.max_epochs=2", "trainer.max_steps=12", "output=run")
    run = tmp_path / "run"
    summary = json.loads((run / "summary.json").read_text())
    evaluate(str(run), toy_dataset, tmp_path / "measured")
    expected = json.loads((tmp_path / "measured" / "metrics.json").read_text())
    assert summary["data"] == expected["data"]["fingerprint"]
    assert summary["seconds"] > 0
    theirs = pq.read_table(tmp_path / "measured" / "per_query.parquet").to_pandas()
    ours = pq.read_table(run / "per_query.parquet").to_pandas()
    before = pq.read_table(run / "per_query_zero_shot.parquet").to_pandas()
    assert ours["query_id"].tolist() == theirs["query_id"].tolist() == before["query_id"].tolist()
    assert ours["rank"].tolist() == [min(ranks) for ranks in theirs["ranks"]]
    assert ours["mrr"].tolist() == pytest.approx(theirs["mrr"].tolist())
    for name in ("mrr", "pass@1", "recall@10"):
        assert ours[name].mean() == pytest.approx(summary["trained"][name])
        assert before[name].mean() == pytest.approx(summary["zero_shot"][name])
    assert before["mrr"].tolist() != ours["mrr"].tolist()
    kept = (run / "per_query_zero_shot.parquet").read_bytes()
    printed = command(train.main, "resume=run", "trainer.max_steps=-1")
    assert "trained" in printed, printed
    assert (run / "per_query_zero_shot.parquet").read_bytes() == kept
    resumed = json.loads((run / "summary.json").read_text())
    assert (resumed["seconds"], resumed["training_seconds"]) == (None, None)


def test_means_spreads_and_tests_have_the_known_answer(tmp_path: Path) -> None:
    better = [[value * factor for value in BEFORE] for factor in (1.5, 1.9)]
    worse = [[value * 0.9 for value in BEFORE[:5]] + [0.9], list(BEFORE)]
    for seed in (1, 2):
        write_run(tmp_path / "runs" / f"none{seed}", seed, NONE, worse[seed - 1])
        write_run(tmp_path / "runs" / f"anchor{seed}", seed, ANCHOR, better[seed - 1], seconds=20.0 * seed)
    comparison = compared(tmp_path)
    assert [group.name for group in comparison.groups] == ["model.mixing=anchor", "model.mixing=none"]
    anchor, none = comparison.groups
    means = [statistics.mean(values) for values in better]
    assert anchor.figures["mrr"].mean == pytest.approx(statistics.mean(means))
    assert anchor.figures["mrr"].sd == pytest.approx(statistics.stdev(means))
    assert anchor.seconds == 30
    assert anchor.difference is not None
    assert none.difference is not None
    assert anchor.difference.mean == pytest.approx(statistics.mean(means) - statistics.mean(BEFORE))
    p_values = [
        naive_randomisation([statistics.mean(pair) for pair in zip(*values, strict=True)], BEFORE)
        for values in (better, worse)
    ]
    assert p_values[0] == 2 / 64 < p_values[1]
    # Holm: the smaller of two is doubled, the larger stays.
    assert anchor.difference.p_queries == pytest.approx(2 * p_values[0], abs=0.01)
    assert none.difference.p_queries == pytest.approx(p_values[1], abs=0.02)


def test_a_named_baseline_is_what_the_others_are_compared_with(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a", mixing=NONE)
    write_run(tmp_path / "runs" / "b", mixing=ANCHOR, values=[0.5] * 6)
    anchor, none = compared(tmp_path, baseline="none").groups
    assert none.difference is None
    assert anchor.difference is not None
    assert anchor.difference.mean == pytest.approx(0.5 - statistics.mean(BEFORE))
    assert anchor.difference.p_queries == pytest.approx(naive_randomisation([0.5] * 6, BEFORE), abs=0.02)


def test_seeds_are_paired_where_both_sides_have_them_and_a_single_one_has_no_p_over_seeds(tmp_path: Path) -> None:
    """Luck that both sides have alike cancels in pairs, and in nothing else."""
    values = {seed: [[value * luck + gain + 0.01 * (number % 2) for number, value in enumerate(BEFORE)] for gain in (0, 0.1)]
              for seed, luck in ((1, 0.8), (2, 1.4), (3, 1.1))}  # fmt: skip

    def p_values(number: int) -> tuple[float | None, float | None]:
        pattern, folder = str(tmp_path / "runs" / "**"), tmp_path / str(number)
        difference = written([pattern], folder, baseline="none").groups[0].difference
        assert difference is not None
        return difference.p_queries, difference.p_seeds

    write_run(tmp_path / "runs" / "a1", 1, NONE, values[1][0])
    write_run(tmp_path / "runs" / "b1", 1, ANCHOR, values[1][1])
    assert p_values(0) == (pytest.approx(2 / 64, abs=0.01), None)
    assert "| +0.1000 | 0.03" in (tmp_path / "0" / "comparison.md").read_text()
    assert "no p (seeds)" in (tmp_path / "0" / "comparison.md").read_text()
    write_run(tmp_path / "runs" / "a2", 2, NONE, values[2][0])
    write_run(tmp_path / "runs" / "b2", 2, ANCHOR, values[2][1])
    sides = [np.array([values[seed][side] for seed in (1, 2)]) for side in (1, 0)]
    paired = p_values(1)[1]
    assert paired == pytest.approx(crossed_test(*sides)) == pytest.approx(0, abs=1e-9)
    write_run(tmp_path / "runs" / "a3", 3, NONE, values[3][0])
    unpaired = p_values(2)[1]
    assert unpaired == pytest.approx(crossed_test(sides[0], np.array([*sides[1], values[3][0]]), paired=False))
    assert unpaired > 0.1


def test_runs_of_one_seed_count_as_one(tmp_path: Path) -> None:
    for number, (seed, value) in enumerate([(1, 0.2), (1, 0.4), (2, 0.9)]):
        write_run(tmp_path / "runs" / str(number), seed, values=[value] * 6)
    (group,) = compared(tmp_path).groups
    assert (group.name, len(group.runs), group.figures["mrr"].n) == ("all runs", 3, 2)
    assert group.figures["mrr"].mean == pytest.approx(0.6)
    assert group.figures["mrr"].sd == pytest.approx(statistics.stdev([0.3, 0.9]))


def test_by_and_metric_change_what_is_compared(tmp_path: Path) -> None:
    for number, (margin, k) in enumerate(product((0.3, 0.1), (3, 5))):
        values = [1.0] * (number + 1) + [0.5] * (5 - number)
        write_run(tmp_path / "runs" / str(number), mixing=ANCHOR, margin=margin, values=values, mixing_options={"k": k})
    by_margin = written([str(tmp_path / "runs" / "*")], tmp_path / "margin", by=["model.loss.margin"])
    assert {group.name for group in by_margin.groups} == {"model.loss.margin=0.1", "model.loss.margin=0.3"}
    assert "Runs within a group differ in model.mixing.k" in " ".join(by_margin.remarks)
    by_part = written([str(tmp_path / "runs" / "*")], tmp_path / "part", by=["model.mixing"], metric="pass@1")
    assert {group.name for group in by_part.groups} == {
        "model.mixing=anchor(k=3)",
        "model.mixing=anchor(k=5)",
    }
    assert by_part.metrics == ("pass@1", "mrr")
    assert by_part.groups[0].figures["pass@1"].mean == pytest.approx((2 + 4) / 2 / 6)
    everything = compared(tmp_path)
    assert everything.varying == ("model.mixing.k", "model.loss.margin")
    assert len(everything.groups) == 4
    # Curves, one chart for each setting, all settings at once, and seconds.
    drawn = charts(tmp_path / "out")
    assert [chart["layout"]["title"]["text"] for chart in drawn][1:] == [
        "<b>Test mrr by model.mixing.k</b>",
        "<b>Test mrr by model.loss.margin</b>",
        "<b>Test mrr of each run by all settings</b>",
        "<b>Test mrr of each run by its seconds</b>",
    ]
    assert len([trace for trace in drawn[3]["data"] if "name" in trace]) == 4
    assert drawn[2]["layout"]["xaxis"]["ticktext"] == ["0.1", "0.3"]


def test_what_a_part_is_made_of_elsewhere_is_shown_as_absent(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a", mixing=NONE)
    write_run(tmp_path / "runs" / "b", mixing=ANCHOR)
    assert {group.name for group in compared(tmp_path, by=["model.mixing.k"]).groups} == {
        "model.mixing.k=-",
        "model.mixing.k=3",
    }


def test_without_figures_of_the_same_queries_nothing_is_tested(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a", mixing=NONE)
    write_run(tmp_path / "runs" / "b", mixing=ANCHOR, queries=list("abcdef"))
    comparison = compared(tmp_path, baseline="none")
    (difference,) = [group.difference for group in comparison.groups if group.difference]
    assert difference.p_queries is None
    assert difference.p_seeds is None
    said = "Not tested, without figures of the same queries on both sides: model.mixing=anchor."
    assert said in comparison.remarks


def test_a_run_without_zero_shot_has_no_difference_from_it(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a", zero_shot=None)
    (group,) = compared(tmp_path).groups
    assert (group.difference, group.zero_shot) == (None, {})
    (row,) = rows_of(tmp_path / "out")
    assert (row["difference"], row["mrr_zero_shot"], row["mrr_sd"]) == ("", "", "")


def test_a_config_inside_of_a_run_is_no_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs" / "a")
    (run / "wandb").mkdir()
    (run / "wandb" / "config.yaml").write_text("x: 1")
    comparison = compared(tmp_path)
    assert comparison.unfinished == ()
    assert len(comparison.groups[0].runs) == 1


def test_validations_within_an_epoch_are_spread_over_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs" / "a")
    rows = ["step,epoch,validation/mrr,train/loss", "0,0,0.1,", "5,1,0.2,", "7,1,,0.5", "10,1,0.3,", "20,2,0.4,"]
    (run / "metrics.csv").write_text("\n".join(rows) + "\n")
    compared(tmp_path)
    (course,) = charts(tmp_path / "out")[0]["data"]
    assert (course["x"], course["y"]) == ([0, 0.5, 1, 2], [0.1, 0.2, 0.3, 0.4])


def test_what_to_take_is_chosen_on_validation_and_reported_on_test(tmp_path: Path) -> None:
    """The best checkpoint is that of the monitor: not the best figure of the metric, and not one
    from before training.
    """
    rows = {
        NONE: [["0,0,0.9,0.9,", "5,0,0.2,0.4,", "9,0,,,0.7", "10,1,0.6,0.1,"], ["5,0,0.4,0.3,", "10,1,0.1,0.2,"]],
        ANCHOR: [["5,0,0.5,0.2,", "10,1,0.3,0.3,"], ["5,0,0.1,0.1,", "10,1,0.3,0.1,"]],
    }
    for mixing, of_seeds in rows.items():
        for seed, own in enumerate(of_seeds, 1):
            values = [1.0] * 6 if mixing == ANCHOR else BEFORE
            write_run(
                tmp_path / "runs" / f"{mixing[-8:]}{seed}",
                seed,
                mixing,
                values,
                validation=own,
                monitor="validation/pass@1",
            )
    comparison = compared(tmp_path)
    anchor, none = comparison.groups
    assert none.validation["mrr"].mean == pytest.approx((0.2 + 0.4) / 2)
    assert anchor.validation["mrr"].mean == pytest.approx((0.3 + 0.1) / 2)
    assert none.validation["pass@1"].mean == pytest.approx((0.4 + 0.3) / 2)
    assert comparison.chosen is none
    said = f"Chosen by validation mrr (0.3000): model.mixing=none. Its test mrr is {statistics.mean(BEFORE):.4f}."
    assert any(remark.startswith(said) for remark in comparison.remarks)
    assert "| model.mixing=none | 2 | 2 | 0.3000 ± 0.1414 (chosen) |" in markdown(comparison)
    assert [row["chosen"] for row in rows_of(tmp_path / "out")] == ["0", "1"]
    assert [row["validation_mean"] for row in rows_of(tmp_path / "out")] == ["0.2", "0.30000000000000004"]


def test_nothing_is_chosen_without_the_validation_of_every_run(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a", mixing=NONE, validation=["5,0,0.2,0.4,"])
    (group,) = written([str(tmp_path / "runs" / "**")], tmp_path / "one").groups
    assert group.validation["mrr"].mean == 0.2
    write_run(tmp_path / "runs" / "b", mixing=ANCHOR)
    comparison = compared(tmp_path)
    assert comparison.chosen is None
    assert (
        "Nothing is chosen: not every run took down its validation mrr (callbacks.metrics_file)." in comparison.remarks
    )
    assert "chosen)" not in markdown(comparison)


def test_a_group_that_a_baseline_beats_is_named(tmp_path: Path, toy_dataset: Path) -> None:
    data = PreparedDataset.open(toy_dataset).fingerprint
    (bm25, _) = lexical_baselines(toy_dataset, data, "all", None, "ignore")
    rest: dict[str, Any] = {"queries": bm25.queries, "data_folder": toy_dataset, "data": data, "zero_shot": None}
    write_run(tmp_path / "runs" / "a", mixing=NONE, values=[0.01] * len(bm25.queries), **rest)
    write_run(tmp_path / "runs" / "b", mixing=ANCHOR, values=[1.0] * len(bm25.queries), **rest)
    comparison = compared(tmp_path)
    figures = {baseline.name: baseline.figures["mrr"] for baseline in comparison.baselines}
    assert list(figures) == ["BM25", "character TF-IDF"]
    for (name, figure), remark in zip(figures.items(), comparison.remarks[-2:], strict=True):
        beaten = f"{name} (mrr {figure:.4f}), which needs no training, beats model.mixing=none (0.0100, p = 0.00"
        assert remark.startswith(beaten)
        assert "anchor" not in remark
    lines = [line.split(" | ")[0] for line in markdown(comparison).splitlines()[2:]]
    assert sorted(lines[1:3]) == ["| BM25", "| character TF-IDF"]
    assert (lines[0], lines[3]) == ("| model.mixing=anchor", "| model.mixing=none")
    write_run(tmp_path / "all" / "a", mixing=NONE, values=[0.01] * len(bm25.queries), **rest)
    write_run(tmp_path / "all" / "b", mixing=ANCHOR, values=[0.01] * len(bm25.queries), **rest)
    lost = written([str(tmp_path / "all" / "**")], tmp_path / "lost").remarks[-1]
    assert "beats every group (p at most 0.00" in lost
    without = written([str(tmp_path / "runs" / "**")], tmp_path / "without", lexical=False)
    assert without.baselines == ()
    assert not any("BM25" in remark for remark in without.remarks)


@pytest.mark.parametrize(
    ("there", "said"), [(False, "nowhere is no folder here"), (True, "Prepare the data of the runs anew")]
)
def test_baselines_are_left_out_where_the_data_are_not_those_of_the_runs(
    tmp_path: Path, toy_dataset: Path, there: bool, said: str
) -> None:
    write_run(tmp_path / "runs" / "a", **({"data_folder": toy_dataset} if there else {}))
    comparison = compared(tmp_path)
    assert comparison.baselines == ()
    assert said in comparison.remarks[-1]


def test_a_continuum_of_values_gets_a_scale(tmp_path: Path) -> None:
    margins = [0.001 * 1.8**number for number in range(9)]
    for number, margin in enumerate(margins):
        write_run(tmp_path / "runs" / str(number), margin=margin)
    compared(tmp_path)
    drawn = charts(tmp_path / "out")[1]
    assert sorted(x for trace in drawn["data"] for x in trace["x"]) == pytest.approx(margins)
    # No label for each value, and no means.
    assert drawn["layout"]["xaxis"]["type"] == "log"
    assert "ticktext" not in drawn["layout"]["xaxis"]
    assert all("name" in trace for trace in drawn["data"])


def refuse_nothing(runs: Path) -> None:
    pass


def spoil(**options: Any) -> Any:
    return lambda runs: write_run(runs / "b", **options)


def cut_only(runs: Path) -> None:
    (runs / "a" / "summary.json").unlink()


def no_runs(runs: Path) -> None:
    (runs / "a" / "config.yaml").unlink()


def no_data(runs: Path) -> None:
    path = runs / "a" / "summary.json"
    summary = json.loads(path.read_text())
    del summary["data"]
    write_json(path, summary)


@pytest.mark.parametrize(
    ("spoiled", "options", "said"),
    [
        (spoil(data="d2"), {}, ["d1", "d2", "runs/a", "runs/b"]),
        (spoil(corpus="split"), {}, ["datamodule.test_corpus", "all in", "split in"]),
        (spoil(trained=None), {}, ["runs/b", "test=true"]),
        (spoil(mixing="os.system"), {}, ["os.system"]),
        (no_runs, {}, ["config.yaml and summary.json", "got none"]),
        (cut_only, {}, ["1 unfinished"]),
        (no_data, {}, ["fingerprint", "runs/a/summary.json"]),
        (refuse_nothing, {"by": ["model.x"]}, ["'model.x'", "model.loss.margin", "model.mixing, "]),
        (refuse_nothing, {"metric": "mmr"}, ["'mmr'", "mrr, pass@1"]),
        (refuse_nothing, {"metric": "excluded"}, ["'excluded'"]),
        (spoil(mixing=ANCHOR), {"baseline": "Nothing"}, ["'Nothing'", "model.mixing=none"]),
        (spoil(mixing=ANCHOR), {"baseline": "model.mixing"}, ["in 2 of them"]),
        (spoil(mixing=ANCHOR), {"baseline": "ancho"}, ["in 0 of them"]),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(
    tmp_path: Path, spoiled: Any, options: dict[str, Any], said: list[str]
) -> None:
    write_run(tmp_path / "runs" / "a")
    spoiled(tmp_path / "runs")
    with pytest.raises(UserError) as caught:
        compared(tmp_path, **options)
    assert all(part in str(caught.value) for part in said), caught.value
    assert not (tmp_path / "out").exists()


def test_a_taken_output_is_left_alone(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a")
    compared(tmp_path)
    before = (tmp_path / "out" / "comparison.csv").read_bytes()
    with pytest.raises(UserError, match="already holds something"):
        compared(tmp_path)
    assert (tmp_path / "out" / "comparison.csv").read_bytes() == before
