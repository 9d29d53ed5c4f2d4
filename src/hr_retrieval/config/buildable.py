"""What a config may build: the classes that its `_target_` may name, and what it may tell Hydra."""

import functools
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from typing import Any

from hr_retrieval.errors import UserError

# `_target_` in a config is code execution. A name leads to a class in one step from one of these modules, or from a
# module of this package; nothing else is imported to find out what it means.
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
    "hr_retrieval.objective.loss.RetrievalLoss",
    "hr_retrieval.objective.mixing.Mixing",
    "hr_retrieval.train.module.RetrievalModule",
    "hr_retrieval.train.schedule.WarmupLinear",
    "pytorch_lightning.Callback",
    "pytorch_lightning.Trainer",
    "pytorch_lightning.loggers.Logger",
    "pytorch_lightning.profilers.Profiler",
    "pytorch_lightning.strategies.Strategy",
    "torch.optim.Optimizer",
)

# Hydra's own plugins, which are no part of what a run builds.
_PLUGINS = re.compile(r"(hydra_plugins|hydra\._internal\.core_plugins)(\.\w+)+")
_LOGGING_CLASSES = {
    "()": {"colorlog.ColoredFormatter"},
    "class": {f"logging.{name}" for name in ("FileHandler", "Formatter", "NullHandler", "StreamHandler")},
}
_STREAMS = {"ext://sys.stdout", "ext://sys.stderr"}
_ENVIRONMENT = re.compile(r"HR_RETRIEVAL_TRIAL|(OMP|MKL)_NUM_THREADS|CUDA_VISIBLE_DEVICES|NCCL_\w+|GLOO_\w+")


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
    if parts[0] != __package__ or not all(part.isidentifier() for part in parts):
        return False
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _kinds() -> Iterator[type]:
    for kind in KINDS:
        module, _, name = kind.rpartition(".")
        # No class derives from one whose module has never been imported, and Lightning takes seconds to import.
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


def check_hydra(node: Any, path: str = "hydra") -> None:
    """Refuse settings of Hydra itself that run code: it acts on them before a verb begins.

    Args:
        node: the `hydra` part of a composed config, as plain containers; interpolations need not be resolved.

    Raises:
        UserError: names the key and its value.
    """
    for where, key, value in _entries(node, path):
        if key == "_target_":
            right = where in (f"{path}.sweeper", f"{path}.launcher") and _PLUGINS.fullmatch(str(value))
            _demand(bool(right), f"{where}.{key}", "a sweeper or launcher of Hydra's or its plugins", value)
        elif where == f"{path}.job.env_set":
            known = _ENVIRONMENT.fullmatch(str(key)) is not None
            _demand(known, f"{where}.{key}", "a variable for threads or devices", value)
        elif re.match(rf"{path}\.(job|hydra)_logging\b", where):
            if key in _LOGGING_CLASSES:
                known = str(value) in _LOGGING_CLASSES[key]
                _demand(known, f"{where}.{key}", " or ".join(sorted(_LOGGING_CLASSES[key])), value)
            elif isinstance(value, str) and re.match(r"\w+://", value):
                _demand(value in _STREAMS, f"{where}.{key}", " or ".join(sorted(_STREAMS)), value)


def _entries(node: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Every entry of every mapping and list below: the path of its container, its key and its value."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield path, key, value
        yield from _entries(value, f"{path}.{key}")


def _demand(right: bool, path: str, expected: str, got: object) -> None:
    if not right:
        raise UserError(
            f"{path} to be {expected}",
            str(got),
            "Hydra would run it before anything is checked: remove the key from the config that sets it, and read the rest.",
        )
