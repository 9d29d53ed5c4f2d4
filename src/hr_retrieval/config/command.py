"""A command line over one config: what comes in is quoted and checked, and every error ends in one message."""

import argparse
import difflib
import errno
import functools
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from hr_retrieval.config.buildable import check_hydra, check_targets
from hr_retrieval.config.overrides import quoted
from hr_retrieval.config.schema import config_dir
from hr_retrieval.errors import UserError

# With it Hydra hands exceptions on, instead of printing them with advice of its own.
_FULL_ERROR = "HYDRA_FULL_ERROR"
_RELEASE = "Free some room, or name another disk; a run goes on with resume=<run>."
_ELSEWHERE = "Name another file or folder, or change who may use this one."
_MISPLACED = "Check the path: each part of it but the last must be a folder."
_SYSTEM = {
    errno.ENOSPC: ("room on the disk", _RELEASE),
    errno.EDQUOT: ("room on the disk", _RELEASE),
    errno.EACCES: ("leave to read and write", _ELSEWHERE),
    errno.EPERM: ("leave to read and write", _ELSEWHERE),
    errno.EROFS: ("a disk that can be written to", _ELSEWHERE),
    errno.ENOENT: ("a file or folder that is there", _MISPLACED),
    errno.ENOTDIR: ("a folder", _MISPLACED),
    errno.EEXIST: ("a folder", _MISPLACED),
    errno.EISDIR: ("a file", "Name the file itself."),
    errno.ENAMETOOLONG: ("a shorter name", "Name a shorter output= or project=."),
    errno.EMFILE: ("fewer open files", "Raise the limit (ulimit -n), or take fewer datamodule.workers."),
    errno.ENOMEM: ("enough memory", "Take smaller batches, or a machine with more memory."),
}
# Other libraries' errors by name: importing them takes seconds, and whoever raised one has them.
_LIBRARIES = {
    "lightning_fabric.utilities.exceptions.MisconfigurationException": (
        "settings that go together",
        "Change the keys of trainer= or callbacks= that it names.",
    ),
    "pyarrow.lib.ArrowException": (
        "data that can be read",
        "If a file is damaged, restore it or prepare the data set again with replace=true.",
    ),
    "torch.OutOfMemoryError": (
        "enough memory on the GPU",
        "Set model.mini_batch, a smaller datamodule.batch_size or trainer.precision=bf16-mixed.",
    ),
    "builtins.MemoryError": (
        "enough memory",
        "Set model.mini_batch or a smaller datamodule.batch_size, or take a machine with more memory.",
    ),
    "builtins.ImportError": ("every package that these settings need", "Install it into this environment."),
}


def entry_point(name: str) -> Callable[[Callable[[DictConfig], float | None]], Callable[[], None]]:
    """Turn `verb(config)` into a command line over `configs/<name>.yaml`.

    What the verb returns is what a sweep optimises. An exception ends the command with status 1 and one message; where
    the message does not say it all, the traceback is in a file that it names. With HYDRA_FULL_ERROR=1 the traceback is
    printed instead.
    """

    def decorate(verb: Callable[[DictConfig], float | None]) -> Callable[[], None]:
        # The user's own value of the variable, for the processes that a job starts, and what a single run raised.
        asked: dict[str, str | None] = {}
        failures: list[tuple[Exception, Path | None]] = []

        @functools.wraps(verb)
        def job(config: DictConfig) -> float | None:
            try:
                with _variable(_FULL_ERROR, asked.get(_FULL_ERROR)):
                    return verb(_settings(config))
            except Exception as error:
                # A sweep counts failures by the exception. In a single run Hydra would only print its own line about it.
                if HydraConfig.get().mode == RunMode.MULTIRUN:
                    raise
                failures.append((error, _own_folder()))
                return None

        command = hydra.main(version_base="1.3", config_path=config_dir(), config_name=name)(job)

        @functools.wraps(verb)
        def main() -> None:
            arguments, asked[_FULL_ERROR] = sys.argv, os.environ.get(_FULL_ERROR)
            failures.clear()
            sys.argv = [arguments[0], *map(quoted, arguments[1:])]
            try:
                with _variable(_FULL_ERROR, "1"):
                    _check_before(name, sys.argv[1:])
                    command()
                if failures:
                    raise failures[0][0]
                sys.stdout.flush()
            except BrokenPipeError:
                _end_unread()
            except KeyboardInterrupt:
                print("Interrupted.", file=sys.stderr)
                raise SystemExit(128 + signal.SIGINT) from None
            # The one place that takes any exception: behind it there is nobody but the user.
            except Exception as error:
                if asked[_FULL_ERROR] == "1":
                    raise
                folder = failures[0][1] if failures else None
                print(_message(error, arguments[1:], folder), file=sys.stderr)
                raise SystemExit(1) from None
            finally:
                sys.argv = arguments

        return main

    return decorate


@contextmanager
def _variable(name: str, value: str | None) -> Iterator[None]:
    """Have an environment variable for a while; `None` is none."""
    before = os.environ.get(name)
    _set(name, value)
    try:
        yield
    finally:
        _set(name, before)


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _settings(config: DictConfig) -> DictConfig:
    """The config with plain values alone, of which nothing is built but what may be."""
    try:
        resolved = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise UserError(f"a value for {error.full_key}", "none", f"Add {error.full_key}=... to the command.") from None
    check_targets(resolved)
    settings = OmegaConf.create(resolved)
    assert isinstance(settings, DictConfig)
    return settings


def _check_before(name: str, arguments: Sequence[str]) -> None:
    """Compose the config as Hydra will, and check what it tells Hydra: loggers and callbacks run before any verb."""
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
        return
    found = [f"file://{Path(given.config_dir).absolute()}"] if given.config_dir else []
    lines = []
    for override in OverridesParser.create().parse_overrides(given.overrides):
        if override.get_key_element() == "hydra.searchpath":
            found += override.value()
        else:
            lines.append(str(override.input_line))
    if found:
        lines.append(f"hydra.searchpath=[{','.join(f'{path!r}' for path in found)}]")
    folder = Path(__file__).parent / given.config_path if given.config_path else config_dir()
    with hydra.initialize_config_dir(str(folder), version_base="1.3"):
        _check_composed(given.config_name or name, lines)


def _check_composed(name: str, lines: Sequence[str]) -> None:
    """Check what each value of a sweep over options composes, and what the config itself sweeps over."""
    waiting, seen = _samples(lines), set()
    while waiting:
        sample = waiting.pop()
        if sample in seen:
            continue
        seen.add(sample)
        settings = OmegaConf.to_container(hydra.compose(name, list(sample), return_hydra_config=True).hydra)
        assert isinstance(settings, dict)
        check_hydra(settings)
        params = settings["sweeper"].get("params") or {}
        waiting += _samples([*sample, *(f"{key}={value}" for key, value in params.items())])


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


def _message(error: Exception, arguments: Sequence[str], folder: Path | None) -> str:
    """What to say to the user; the traceback is written down unless the message says it all."""
    # A resolver's own message comes wrapped in OmegaConf's.
    told = next((one for one in (error, error.__cause__) if isinstance(one, UserError)), None)
    if told:
        return str(told)
    if isinstance(error, OverrideParseException):
        return str(_unparsed(error, list(arguments)))
    if isinstance(error.__cause__, ConfigKeyError | ConfigAttributeError):
        return str(_unknown(error.__cause__))
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, option = error.missing_cfg_file.rpartition("/")
        return str(UserError(f"an option of {group}", option, _suggestion(option, list(error.options))))
    if isinstance(error, HydraException | OmegaConfBaseException):
        # They name the key, the value and what there is instead.
        causes = [error, *([error.__cause__] if isinstance(error.__cause__, OmegaConfBaseException) else [])]
        return "\n".join(str(one) for one in causes)
    return f"{_explanation(error)} {_written(error, folder)}"


def _unparsed(error: OverrideParseException, arguments: list[str]) -> UserError:
    """An argument that is no override, though quotes were tried."""
    place = arguments.index(error.override) if error.override in arguments else 0
    if "=" not in error.override and place and "=" in arguments[place - 1]:
        remedy = f"Quote a value with spaces: '{arguments[place - 1]} {error.override}'."
    elif "=" in error.override:
        remedy = "Close every bracket and quote; a value that means them as they are needs quotes: 'key=\"a [b\"'."
    else:
        remedy = "See --help for the keys."
    return UserError("key=value", error.override, remedy)


def _unknown(error: OmegaConfBaseException) -> UserError:
    """A key that the config does not have."""
    siblings = [str(key) for key in error.parent_node] if isinstance(error.parent_node, DictConfig) else []
    parent, _, last = str(error.full_key or error.key).rpartition(".")
    remedy = f"{_suggestion(last, siblings)} A key that is new takes a plus: +{error.full_key}=..."
    return UserError(f"a key of {parent or 'the config'}", last, remedy)


def _suggestion(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."


def _explanation(error: Exception) -> str:
    said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if isinstance(error, OSError) and error.errno in _SYSTEM:
        expected, remedy = _SYSTEM[error.errno]
        where = f"{error.filename}: {error.strerror}" if error.filename else said
        return str(UserError(expected, where, remedy))
    for one in type(error).__mro__:
        if f"{one.__module__}.{one.__qualname__}" in _LIBRARIES:
            expected, remedy = _LIBRARIES[f"{one.__module__}.{one.__qualname__}"]
            return str(UserError(expected, said, remedy))
    return f"Stopped by an error that nothing foresaw: {type(error).__name__}: {said}."


def _own_folder() -> Path | None:
    """The run directory, where Hydra made one for this job alone."""
    settings = HydraConfig.get()
    return Path(settings.runtime.output_dir) if settings.output_subdir else None


def _written(error: Exception, folder: Path | None) -> str:
    """Write the traceback into the run directory or, if there is none or it takes nothing, among temporary files."""
    text = "".join(traceback.format_exception(error))
    for place in (folder, Path(tempfile.gettempdir())):
        if place is None:
            continue
        try:
            number, name = tempfile.mkstemp(prefix="error-", suffix=".txt", dir=place)
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            continue
        return f"The traceback is in {name}"
    return f"The traceback cannot be written to a file:\n{text}"


def _end_unread() -> NoReturn:
    """End as a program does whose reader, such as `head`, has gone: in silence, with the status of SIGPIPE."""
    # The interpreter would write what is left to the closed pipe at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(128 + signal.SIGPIPE)
