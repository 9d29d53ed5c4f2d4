"""What a config may build, the classes that its `_target_` may name, and the building itself."""

import functools
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from hr_retrieval.errors import UserError

# `_target_` in a config is code execution. A name leads to a class in one step from one of these
# modules, or from a module of this package; nothing else is imported to find out what it means.
MODULES = (
    "pytorch_lightning",
    "pytorch_lightning.callbacks",
    "pytorch_lightning.loggers",
    "pytorch_lightning.profilers",
    "pytorch_lightning.strategies",
    "torch.optim",
)
# Where the class itself must be defined, whichever module it was found in.
HOMES = ("hr_retrieval", "pytorch_lightning", "torch.optim")
# The kinds: one of these classes, or a class derived from it.
KINDS = (
    "hr_retrieval.prepare.columns.Columns",
    "hr_retrieval.data.datamodule.RetrievalDataModule",
    "hr_retrieval.prepare.preparation.Preparation",
    "hr_retrieval.prepare.readers.reader.Reader",
    "hr_retrieval.encoder.encoder.Encoder",
    "hr_retrieval.encoder.cross_encoder.CrossEncoder",
    "hr_retrieval.encoder.lora.Lora",
    "hr_retrieval.objective.triplet.TripletLoss",
    "hr_retrieval.objective.lists.ListLoss",
    "hr_retrieval.objective.matryoshka.Matryoshka",
    "hr_retrieval.objective.distillation.Distillation",
    "hr_retrieval.objective.mixing.Mixing",
    "hr_retrieval.retrieval.mixing.base.RankingMixing",
    "hr_retrieval.retrieval.mixing.composition.Composition",
    "hr_retrieval.train.ranker.Ranker",
    "hr_retrieval.train.schedule.WarmupLinear",
    "pytorch_lightning.Callback",
    "pytorch_lightning.Trainer",
    "pytorch_lightning.loggers.Logger",
    "pytorch_lightning.profilers.Profiler",
    "pytorch_lightning.strategies.Strategy",
    "torch.optim.Optimizer",
)


def buildable(target: object) -> type | None:
    """The class that a target names; `None` if a config may not build it, or there is none."""
    module, _, name = str(target).rpartition(".")
    if not isinstance(target, str) or not (module in MODULES or _is_own(module)):
        return None
    found = vars(importlib.import_module(module)).get(name)
    if not isinstance(found, type):
        return None
    home = found.__module__
    # Its own name leads to it, so that nothing can call itself ours.
    own = getattr(sys.modules.get(home), found.__qualname__, None) is found
    if not own or not any(home == allowed or home.startswith(f"{allowed}.") for allowed in HOMES):
        return None
    return found if any(issubclass(found, kind) for kind in _kinds()) else None


@functools.cache
def _is_own(module: str) -> bool:
    """Whether this is a module of this package. Python imports the packages above it to find out, which are ours."""
    parts = module.split(".")
    if parts[0] != "hr_retrieval" or not all(part.isidentifier() for part in parts):
        return False
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _kinds() -> Iterator[type]:
    for kind in KINDS:
        module, _, name = kind.rpartition(".")
        # No class derives from one whose module has never been imported, and Lightning takes
        # seconds to import.
        if module in sys.modules:
            yield getattr(sys.modules[module], name)


def check_targets(node: Any, path: str = "config") -> None:
    """Refuse a resolved config that would build anything but the `KINDS`.

    Raises:
        UserError: names the key and its value.
    """
    if isinstance(node, dict):
        for key, value in node.items():
            where = f"{path}.{key}"
            if key == "_target_":
                _check_target(value, where)
            elif key == "_partial_" and not isinstance(value, bool):
                raise UserError(f"{where} to be true or false", repr(value), "Remove this key, or set one of the two.")
            elif key != "_partial_" and re.fullmatch(r"_[a-z]+_", str(key)):
                raise UserError(
                    f"_target_ and _partial_ as the only keys of {path} that speak to Hydra",
                    f"{key}={value}",
                    f"Remove {where}: what is built takes its arguments by name.",
                )
            check_targets(value, where)
    elif isinstance(node, list | tuple):
        for number, item in enumerate(node):
            check_targets(item, f"{path}[{number}]")
    elif isinstance(node, str) and "${" in node:
        # Read once more, it would become whatever it says: a target too.
        raise UserError(
            f"{path} to be a plain value",
            node,
            "Write the value itself; only a config that is still to be composed may refer to another key.",
        )


def _check_target(target: object, path: str) -> None:
    if buildable(target) is not None:
        return
    module = str(target).rpartition(".")[0]
    if module in MODULES or _is_own(module):
        names = sorted(name for name in vars(importlib.import_module(module)) if buildable(f"{module}.{name}"))
        remedy = f"In {module} there are: {', '.join(names)}." if names else f"Nothing in {module} is."
    else:
        remedy = "A config builds nothing else: put other code into the package hr_retrieval."
    raise UserError(
        f"{path} to be a part of hr_retrieval that a config may build, the trainer, a callback, logger, profiler or "
        "strategy of Lightning, or an optimizer of torch",
        str(target),
        remedy,
    )


def build(node: Any, **given: Any) -> Any:
    """What a node of a config describes, with further arguments by name.

    Raises:
        UserError: the node names what no config may build, or the constructor refuses a key or a
            value.
    """
    for part in (node, *given.values()):
        check_targets(OmegaConf.to_container(part, resolve=True) if OmegaConf.is_config(part) else part)
    try:
        return instantiate(node, **given)
    except InstantiationException as error:
        cause = error.__cause__
        refused = isinstance(cause, ValueError) or (isinstance(cause, TypeError) and "argument" in str(cause))
        # Lightning's own error for settings that do not fit.
        if not refused and type(cause).__name__ != "MisconfigurationException":
            raise cause or error from None
        # The part itself, or one within it, which only Hydra's message names.
        named = re.search(r"target '([\w.]+)'", str(error))
        target = named[1] if named else node["_target_"]
        name = target.rpartition(".")[2]
        raise UserError(
            f"keys and values that {name} takes",
            f"a refusal ({' '.join(str(cause).split()).rstrip('.')})",
            f"{name} takes: {', '.join(inspect.signature(get_class(target)).parameters)}.",
        ) from error
