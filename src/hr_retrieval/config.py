"""Where `configs/` is found, what the verbs read of a composed config, and what a config may name."""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.errors import CompactHydraException, InstantiationException
from hydra.utils import instantiate
from omegaconf import MISSING, DictConfig, OmegaConf

from hr_retrieval.errors import UserError

# `_target_` in a config is code execution: these are the only things it may name. The last part must be a class (or one of our
# own builders), so that no path leads through a module to what that module imports.
ALLOWED_TARGETS = re.compile(
    r"hr_retrieval\.(data|model|callbacks|board|alarms)(\.[a-z_]+)*\.[A-Z]\w*"
    r"|pytorch_lightning\.Trainer"
    r"|pytorch_lightning\.(callbacks|loggers|plugins|strategies|profilers)\.[A-Z]\w*"
    r"|torch\.optim\.[A-Z]\w*"
)


@dataclass
class PrepareConfig:
    """What `prepare` reads."""

    data: Any = MISSING
    split_seed: int = 1
    replace: bool = False


@dataclass
class TrainConfig:
    """What `train` reads; each group's own keys are the signature of what it builds.

    Attributes:
        project: names the folder under `outputs/` and the run in the loggers.
        seed: of the data order, the mixing weights and the dropout.
        split_seed: of the split into train, validation and test; apart from `seed`, so that runs of several seeds share one split.
        resume: a run directory to go on with; its own config holds, and plain values may be changed beside it (`resuming.py`).
        output: the run directory; by default a new `outputs/<project>/<time>`.
        zero_shot: whether the encoder is measured before training too.
        test: whether the test split is measured, before and after.
        export: whether the best encoder is written to `<run>/encoder`.
    """

    project: str = "default"
    seed: int = 1
    split_seed: int = 1
    resume: str | None = None
    output: str | None = None
    zero_shot: bool = True
    test: bool = True
    export: bool = True
    data: Any = MISSING
    datamodule: Any = MISSING
    model: Any = MISSING
    optimizer: Any = MISSING
    scheduler: Any = MISSING
    trainer: Any = MISSING
    callbacks: Any = field(default_factory=dict)
    logger: Any = field(default_factory=dict)


@dataclass
class ExportConfig:
    """What `export` reads."""

    run: str = MISSING
    output: str = MISSING


@dataclass
class DataFolder:
    """Where a prepared data set lies."""

    folder: str = MISSING


@dataclass
class EvaluateConfig:
    """What `evaluate` reads.

    Attributes:
        encoder: a run directory, an encoder's folder, a hub name, `builtin:all-MiniLM-L6-v2` or `tiny`.
        base: the encoder before training, for comparison: `auto` takes what the run or the folder's model card names,
            null compares with none.
        data: `data.folder` is the prepared data set.
        split: train, validation or test.
        corpus: `split` ranks the documents of the measured split, `all` every document.
        counterfactuals: a folder of word lists, whose counterparts are exchanged to see how far rankings move; `auto`
            takes the built-in lists of the languages that occur, null measures none.
        output: a new folder.
    """

    encoder: str = MISSING
    base: str | None = "auto"
    data: DataFolder = field(default_factory=DataFolder)
    split: str = "test"
    corpus: str = "split"
    counterfactuals: str | None = "auto"
    output: str = MISSING


@dataclass
class CompareConfig:
    """What `compare` reads.

    Attributes:
        runs: a glob of run directories, or a list of such; `**` goes through all folders below.
        by: keys of the runs' config, whose equal values make a group; null takes what varies, seeds aside.
        baseline: a part of one group's name; null compares each group with its encoder before training.
        metric: what is compared, as `summary.json` names it.
        lexical: whether BM25 and character TF-IDF are measured on the same test queries, where the runs' data still lie there.
        output: a new folder.
    """

    runs: Any = field(default_factory=lambda: ["outputs/**", "multirun/**"])
    by: Any = None
    baseline: str | None = None
    metric: str = "mrr"
    lexical: bool = True
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
        texts: documents that are encoded and searched; repeated where there are fewer.
        batch_size: texts that are encoded, and queries that are searched, together.
        repeats: counted calls of what is short.
        passes: counted calls over all texts, and builds of each index.
        warmup: calls before those that count.
        threads: of torch, BLAS, OpenMP and the tokenizer; null leaves them as they are.
        ef_search: candidates that the approximate index keeps while it answers a query.
        output: a new folder.
    """

    encoder: str = MISSING
    data: TimedTexts = field(default_factory=TimedTexts)
    texts: int = 10_000
    batch_size: int = 256
    repeats: int = 100
    passes: int = 3
    warmup: int = 5
    threads: int | None = None
    ef_search: int = 64
    output: str = MISSING


def config_dir() -> str:
    """The folder of the YAML files: inside an installed wheel, else beside `src/` in a checkout."""
    packaged = Path(__file__).parent / "configs"
    return str(packaged if packaged.is_dir() else Path(__file__).parents[2] / "configs")


def entry_point(name: str) -> Callable[[Callable[[DictConfig], float | None]], Callable[[], None]]:
    """Turn `verb(config)` into a command line over `configs/<name>.yaml`; a `UserError` ends it with its message alone.

    What the verb returns is what a sweep optimises.
    """

    def decorate(verb: Callable[[DictConfig], float | None]) -> Callable[[], None]:
        @functools.wraps(verb)
        def checked(config: DictConfig) -> float | None:
            try:
                resolved = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
                check_targets(resolved)
                settings = OmegaConf.create(resolved)
                assert isinstance(settings, DictConfig)
                return verb(settings)
            except UserError as error:
                raise CompactHydraException(str(error)) from None

        command: Callable[[], None] = hydra.main(version_base="1.3", config_path=config_dir(), config_name=name)(
            checked
        )
        return command

    return decorate


def build(node: Any, **given: Any) -> Any:
    """What a node of a config describes, with further arguments by name.

    Raises:
        UserError: as the constructor raised it; Hydra wraps it in an exception of its own.
    """
    try:
        return instantiate(node, **given)
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise


def leaves(node: Any, path: str = "") -> dict[str, Any]:
    """The leaves of a plain config by dotted key; what is no plain value reads as its text."""
    if isinstance(node, dict) and (node or not path):
        parts = [leaves(value, f"{path}.{key}" if path else str(key)) for key, value in node.items()]
        return {key: value for part in parts for key, value in part.items()}
    return {path: node if node is None or isinstance(node, bool | int | float | str) else str(node)}


def check_targets(node: Any, path: str = "config") -> None:
    """Refuse a resolved config that would build anything but `ALLOWED_TARGETS`.

    Raises:
        UserError: names the key and the target.
    """
    if isinstance(node, dict):
        target = node.get("_target_")
        if target is not None and not ALLOWED_TARGETS.fullmatch(str(target)):
            raise UserError(
                f"{path}._target_ to be a class of hr_retrieval, a part of Lightning or an optimizer of torch",
                str(target),
                "A config builds nothing else: put other code into the package.",
            )
        for key, value in node.items():
            check_targets(value, f"{path}.{key}")
    elif isinstance(node, list):
        for number, item in enumerate(node):
            check_targets(item, f"{path}[{number}]")


def _run_folder(resume: str | None, output: str | None, project: str) -> str:
    # It reads run directories, which are described by configs.
    from hr_retrieval.run_folder import run_folder

    try:
        return str(run_folder(resume, output, project))
    except UserError as error:
        # OmegaConf would wrap any other exception in one of its own.
        raise SystemExit(str(error)) from None


def _fastest_precision(accelerator: str = "auto") -> str:
    """The fastest precision that what `trainer.accelerator` names computes by itself; emulation is slower than float32."""
    import torch

    from hr_retrieval.model.rounding import native_bfloat16

    if accelerator in ("cuda", "gpu", "auto") and torch.cuda.is_available():
        capability = torch.cuda.get_device_capability()
        return "bf16-mixed" if capability >= (8, 0) else "16-mixed" if capability >= (7, 0) else "32-true"
    if accelerator == "cpu" or (accelerator == "auto" and not torch.backends.mps.is_available()):
        return "bf16-mixed" if native_bfloat16() else "32-true"
    return "32-true"


OmegaConf.register_new_resolver("run_folder", _run_folder, use_cache=True, replace=True)
OmegaConf.register_new_resolver("fastest_precision", _fastest_precision, use_cache=True, replace=True)

_store = ConfigStore.instance()
_store.store(name="prepare_schema", node=PrepareConfig)
_store.store(name="train_schema", node=TrainConfig)
_store.store(name="export_schema", node=ExportConfig)
_store.store(name="evaluate_schema", node=EvaluateConfig)
_store.store(name="compare_schema", node=CompareConfig)
_store.store(name="time_schema", node=TimeConfig)
