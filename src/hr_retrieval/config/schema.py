"""Where `configs/` is found, and what each verb reads of a composed config.

It is longer than other files since it is a list: every key of every verb, with a line for `--help`.
"""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from hr_retrieval.config.search_schema import IndexConfig, SearchConfig, ServeConfig


@dataclass
class PrepareConfig:
    """What `prepare` reads.

    Attributes:
        split_seed: of the split.
        replace: whether a prepared data set of the same source may be replaced; or the name of the
            one that may be, whatever its source.
    """

    data: Any = MISSING
    split_seed: int = 1
    replace: Any = False


@dataclass
class InspectConfig:
    """What `inspect` reads.

    Attributes:
        data: `data.folder` is a prepared data set; or an option of `data=`, which is prepared first
            if it is missing.
        split_seed: as of `prepare`.
        encoder: by whose tokens lengths are counted; null leaves them out.
        language: of the page, en or ru.
        output: the HTML file; by default outputs/inspect/<name>.html.
    """

    data: Any = MISSING
    split_seed: int = 1
    encoder: str | None = "builtin:all-MiniLM-L6-v2"
    language: str = "en"
    output: str | None = None


@dataclass
class TrainConfig:
    """What `train` reads; each group's own keys are the signature of what it builds.

    Attributes:
        project: names the folder under `outputs/` and the run in the loggers.
        seed: of the data order, the mixing weights and the dropout.
        split_seed: of the split into train, validation and test; apart from `seed`, so that runs of
            several seeds share one split.
        resume: a run directory to go on with; its own config holds, and plain values may be changed
            beside it (`runs/resuming.py`).
        run_name: what stands behind the time in the name of the run directory; by default the
            encoder and the data set.
        output: the run directory; by default a new `outputs/<project>/<time>_<run_name>`.
        zero_shot: whether the encoder is measured before training too.
        lexical: whether BM25 and character n-grams are measured with it, on the test queries.
        test: whether the test split is measured, before and after.
        export: whether the best encoder is written to `<run>/encoder`.
        ranking: `ranking.mixing` are the strategies of mixing at ranking time whose strengths
            validation chooses.
    """

    project: str = "default"
    seed: int = 1
    split_seed: int = 1
    resume: str | None = None
    run_name: str | None = None
    output: str | None = None
    zero_shot: bool = True
    lexical: bool = True
    test: bool = True
    export: bool = True
    data: Any = MISSING
    datamodule: Any = MISSING
    model: Any = MISSING
    optimizer: Any = MISSING
    scheduler: Any = MISSING
    ranking: Any = MISSING
    trainer: Any = MISSING
    callbacks: Any = field(default_factory=dict)
    logger: Any = field(default_factory=dict)


@dataclass
class ForgetConfig:
    """What `forget` reads.

    Attributes:
        find: what tells the person: names, addresses, telephone numbers, ids.
        folders: prepared data sets, indexes and run directories.
        apply: whether what is found is taken out; otherwise it is only said.
    """

    find: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    apply: bool = False


Sampler = Enum("Sampler", "tpe random grid")
Pruner = Enum("Pruner", "median hyperband none")


@dataclass
class SweepConfig:
    """What a sweep with Optuna reads; `configs/hydra/sweeper/optuna.yaml` says what each key does."""

    _target_: str = MISSING
    n_trials: int | None = MISSING
    timeout_s: float | None = MISSING
    n_jobs: int = MISSING
    sampler: Sampler = MISSING
    seed: int = MISSING
    pruner: Pruner = MISSING
    startup_trials: int = MISSING
    retry_failed: bool = MISSING
    params: Any = MISSING


@dataclass
class ExportConfig:
    """What `export` reads.

    Attributes:
        run: the run directory, whose best checkpoint is taken.
        format: `sentence-transformers`; `onnx`, one graph from token ids to unit vectors; or
            `onnx-int8`, the same with weights of 8 bits.
        measured: whether what 8 bits cost is measured on the test split of the run.
        licence: of the encoder, an id of the Hugging Face hub such as apache-2.0; null says that it
            follows from the data and the model before training.
        evaluation: a folder that `evaluate` wrote of this run: its counterfactual pairs go into the
            model card.
        output: a new folder.
    """

    run: str = MISSING
    format: str = "sentence-transformers"
    measured: bool = True
    licence: str | None = None
    evaluation: str | None = None
    output: str = MISSING


@dataclass
class DataFolder:
    """Where a prepared data set lies."""

    folder: str = MISSING


@dataclass
class EvaluateConfig:
    """What `evaluate` reads.

    Attributes:
        encoder: a run directory, an encoder's folder, a hub name, `builtin:all-MiniLM-L6-v2`,
            `builtin:multilingual-e5-small` or `tiny`.
        base: the encoder before training, for comparison: `auto` takes what the run or the folder's
            model card names, null compares with none.
        data: `data.folder` is the prepared data set.
        split: train, validation or test.
        corpus: `all` ranks every document, `split` leaves out those that answer queries of other
            splits only.
        identical_text: `ignore` or `count` a document with the query's own text.
        counterfactuals: a folder of word lists, whose counterparts are exchanged to see how far
            rankings move; `auto` takes the built-in lists of the languages that occur, null
            measures none.
        ranking: `ranking/mixing=auto` ranks with the mixing that the run or the folder has chosen,
            `none` without any, and any other option as it says.
        passages: `max` or `mean` ranks long documents by their passages, as an index does; null by
            what the encoder reads of them at once.
        overlap: tokens that the passages of a long text share.
        dimensions: also a table of quality by bytes a document, of whole vectors and of these first
            numbers of them, in float32, 8 bits and one bit; `[]` of whole ones alone, null leaves
            it out.
        rescored: documents that are ordered anew behind a search by one bit a number.
        rerank: the folder of a cross-encoder that orders the best documents of each query anew; null
            for none.
        depth: how many these are, up to 100.
        output: a new folder; by default `evaluations/<time>_<encoder>_<data>`.
    """

    encoder: str = MISSING
    base: str | None = "auto"
    data: DataFolder = field(default_factory=DataFolder)
    split: str = "test"
    corpus: str = "all"
    identical_text: str = "ignore"
    counterfactuals: str | None = "auto"
    ranking: Any = MISSING
    passages: str | None = None
    overlap: int = 32
    dimensions: list[int] | None = None
    rescored: int = 100
    rerank: str | None = None
    depth: int = 100
    output: str | None = None


@dataclass
class RunsConfig:
    """What `runs` reads.

    Attributes:
        runs: a glob of run directories, or a list of such; `**` goes through all folders below.
    """

    runs: Any = field(default_factory=lambda: ["outputs/**", "multirun/**"])


@dataclass
class CompareConfig:
    """What `compare` reads.

    Attributes:
        runs: a glob of run directories, or a list of such; `**` goes through all folders below.
        by: keys of the runs' config, whose equal values make a group; null takes what varies, seeds
            aside.
        baseline: a part of one group's name; null compares each group with its encoder before
            training.
        metric: what is compared, as `summary.json` names it.
        lexical: whether BM25 and character TF-IDF are measured on the same test queries, where the
            runs' data still lie there.
        output: a new folder; by default `comparisons/<time>`.
    """

    runs: Any = field(default_factory=lambda: ["outputs/**", "multirun/**"])
    by: Any = None
    baseline: str | None = None
    metric: str = "mrr"
    lexical: bool = True
    output: str | None = None


@dataclass
class MergeConfig:
    """What `merge` reads.

    Attributes:
        runs: a glob of run directories, or a list of such.
        method: greedy or uniform.
        before: whether the encoder before training may be in the soup too.
        metric: of the validation; null takes what the runs monitor.
        output: a new folder.
    """

    runs: Any = MISSING
    method: str = "greedy"
    before: bool = True
    metric: str | None = None
    output: str = MISSING


@dataclass
class TimedTexts:
    """Where the timed texts come from."""

    folder: str | None = None


@dataclass
class TimeConfig:
    """What `time` reads.

    Attributes:
        encoder: as of `evaluate`.
        data: `data.folder` is a prepared data set; null takes the built-in ESCO texts.
        texts: documents that are encoded and searched; repeated where there are fewer. By default
            10,000 on a GPU, and 1,000 on a CPU.
        repeats: calls of all that is short; all documents are encoded once.
        onnx: whether the encoder is timed as an ONNX graph too, in 32 and in 8 bits; needs the extra
            `onnx`.
        output: a new folder; by default `timings/<time>_<encoder>`.
    """

    encoder: str = MISSING
    data: TimedTexts = field(default_factory=TimedTexts)
    texts: int | None = None
    repeats: int = 100
    onnx: bool = False
    output: str | None = None


def config_dir() -> str:
    """The folder of the YAML files: inside an installed wheel, else beside `src/` in a checkout."""
    packaged = Path(__file__).parents[1] / "configs"
    return str(packaged if packaged.is_dir() else Path(__file__).parents[3] / "configs")


def leaves(node: Any, path: str = "") -> dict[str, Any]:
    """The leaves of a plain config by dotted key; what is no plain value reads as its text."""
    if isinstance(node, dict) and (node or not path):
        parts = [leaves(value, f"{path}.{key}" if path else str(key)) for key, value in node.items()]
        return {key: value for part in parts for key, value in part.items()}
    return {path: node if node is None or isinstance(node, bool | int | float | str) else str(node)}


_store = ConfigStore.instance()
_store.store(name="prepare_schema", node=PrepareConfig)
_store.store(name="inspect_schema", node=InspectConfig)
_store.store(name="forget_schema", node=ForgetConfig)
_store.store(name="train_schema", node=TrainConfig)
_store.store(group="hydra/sweeper", name="optuna_schema", node=SweepConfig)
_store.store(name="export_schema", node=ExportConfig)
_store.store(name="evaluate_schema", node=EvaluateConfig)
_store.store(name="runs_schema", node=RunsConfig)
_store.store(name="compare_schema", node=CompareConfig)
_store.store(name="merge_schema", node=MergeConfig)
_store.store(name="time_schema", node=TimeConfig)
_store.store(name="index_schema", node=IndexConfig)
_store.store(name="search_schema", node=SearchConfig)
_store.store(name="serve_schema", node=ServeConfig)
