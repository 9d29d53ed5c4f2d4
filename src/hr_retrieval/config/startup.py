"""What a command line tells Hydra itself, checked before Hydra acts on it: loggers and callbacks
run before any verb.
"""

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from hr_retrieval.config.schema import config_dir
from hr_retrieval.errors import UserError

# Hydra's own plugins, which are no part of what a run builds.
_PLUGINS = re.compile(r"(hydra_plugins|hydra\._internal\.core_plugins)(\.\w+)+")
_LOGGING_CLASSES = {
    "()": {"colorlog.ColoredFormatter"},
    "class": {f"logging.{name}" for name in ("FileHandler", "Formatter", "NullHandler", "StreamHandler")},
}
_STREAMS = {"ext://sys.stdout", "ext://sys.stderr"}
_ENVIRONMENT = re.compile(r"HR_RETRIEVAL_TRIAL|(OMP|MKL)_NUM_THREADS|CUDA_VISIBLE_DEVICES|NCCL_\w+|GLOO_\w+")


def check_startup(name: str, arguments: Sequence[str]) -> DictConfig | None:
    """Compose the config as Hydra will, and check what it tells Hydra: loggers and callbacks run before any verb.

    Returns:
        the whole config of a single run, to be run as it is; `None` for all else, which is Hydra's:
        a sweep, a flag, another folder of configs.
    """
    parser = argparse.ArgumentParser(add_help=False)
    for flags in (("--help", "-h"), ("--hydra-help",), ("--version",), ("--resolve",), ("--shell-completion", "-sc")):
        parser.add_argument(*flags, action="store_true")
    for flags in (("--run", "-r"), ("--multirun", "-m")):
        parser.add_argument(*flags, action="store_true")
    for flags in (("--config-path", "-cp"), ("--config-name", "-cn"), ("--config-dir", "-cd"), ("--package", "-p")):
        parser.add_argument(*flags)
    for flags in (("--cfg", "-c"), ("--info", "-i"), ("--experimental-rerun",)):
        parser.add_argument(*flags, nargs="?", const="all")
    parser.add_argument("overrides", nargs="*")
    given, _ = parser.parse_known_intermixed_args(list(arguments))
    if given.experimental_rerun:
        raise UserError(
            "settings that are composed",
            "--experimental-rerun, which unpickles a file",
            "Repeat the run's overrides, which are in its .hydra/overrides.yaml.",
        )
    if given.help or given.hydra_help or given.version or given.cfg or given.info or given.shell_completion:
        return None
    found = [f"file://{Path(given.config_dir).absolute()}"] if given.config_dir else []
    lines, single = [], list(arguments) == given.overrides
    for override in OverridesParser.create().parse_overrides(given.overrides):
        if override.get_key_element() == "hydra.searchpath":
            found += override.value()
        else:
            lines.append(str(override.input_line))
            single = single and not override.is_sweep_override()
    if found:
        lines.append(f"hydra.searchpath=[{','.join(f'{path!r}' for path in found)}]")
    folder = Path(__file__).parent / given.config_path if given.config_path else config_dir()
    with hydra.initialize_config_dir(str(folder), version_base="1.3", job_name=name):
        config = _check_composed(given.config_name or name, lines)
    return config if single and not found and config.hydra.mode != RunMode.MULTIRUN else None


def _check_composed(name: str, lines: Sequence[str]) -> DictConfig:
    """Check what each value of a sweep over options composes, and what the config itself sweeps over.

    Returns:
        what was composed first: without a sweep, of all the overrides.
    """
    waiting, seen = _samples(lines), set()
    first: DictConfig | None = None
    while waiting:
        sample = waiting.pop()
        if sample in seen:
            continue
        seen.add(sample)
        overrides = OverridesParser.create().parse_overrides(list(sample))
        _check_options(overrides)
        config = hydra.compose(name, list(sample), return_hydra_config=True)
        first = config if first is None else first
        settings = OmegaConf.to_container(config.hydra)
        assert isinstance(settings, dict)
        check_hydra(settings)
        params = settings["sweeper"].get("params") or {}
        # What the command line gives wins, as in Hydra; and what a sample has got is not given
        # again, or none were the last.
        given = {override.get_key_element() for override in overrides}
        waiting += _samples([*sample, *(f"{key}={value}" for key, value in params.items() if key not in given)])
    assert first is not None, "there is a sample of any overrides"
    return first


def _check_options(overrides: Sequence[Override]) -> None:
    """Raise `UserError` where the name of an option is asked for, and a number, yes, no or nothing was given."""
    loader = GlobalHydra.instance().config_loader()
    for override in overrides:
        options = [] if override.is_delete() else loader.get_group_options(override.key_or_group)
        if options and (override.value() is None or isinstance(override.value(), (bool, int, float))):
            key = override.get_key_element()
            raise UserError(
                f"a name in {key}=, one of {', '.join(options)}",
                str(override.input_line).partition("=")[2],
                f"Set {key}=none for none." if "none" in options else "Choose one of these.",
            )


def _samples(lines: Sequence[str]) -> list[tuple[str, ...]]:
    """As few sets of overrides as hold every option that is swept over; what else is swept over is left out."""
    fixed: list[str] = []
    choices: list[list[str]] = []
    for override in OverridesParser.create().parse_overrides(list(lines)):
        if not override.is_sweep_override():
            fixed.append(str(override.input_line))
        elif GlobalHydra.instance().config_loader().get_group_options(override.key_or_group):
            choices.append([f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()])
    longest = max((len(values) for values in choices), default=1)
    return [(*fixed, *(values[place % len(values)] for values in choices)) for place in range(longest)]


def check_hydra(node: Any, path: str = "hydra") -> None:
    """Refuse settings of Hydra itself that run code: it acts on them before a verb begins.

    Args:
        node: the `hydra` part of a composed config, as plain containers; interpolations need not be
            resolved.

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
