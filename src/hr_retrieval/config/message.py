"""What a command says of an exception: one message, and where the traceback is unless the message says it all."""

import difflib
import errno
import os
import re
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from hr_retrieval.config.overrides import is_sweep, word
from hr_retrieval.errors import UserError
from hr_retrieval.program import shell_word

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


def message(error: Exception, arguments: Sequence[str], folder: Path | None) -> str:
    """What to say to the user; the traceback is written down unless the message says it all."""
    told = _unwrapped(error)
    if isinstance(told, UserError):
        return str(told)
    if listed := _listed(error, list(arguments)):
        return str(listed)
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


def _unwrapped(error: BaseException | None) -> BaseException | None:
    """What a resolver or a constructor raised, which comes wrapped in exceptions of OmegaConf and Hydra."""
    while isinstance(error, HydraException | OmegaConfBaseException):
        error = error.__cause__ or error.__context__
    return error


def _unparsed(error: OverrideParseException, arguments: list[str]) -> UserError:
    """An argument that is no override, though quotes were tried."""
    place = arguments.index(error.override) if error.override in arguments else 0
    if "=" not in error.override and place and "=" in arguments[place - 1]:
        remedy = f"Quote a value with spaces: {shell_word(f'{arguments[place - 1]} {error.override}')}"
    elif not re.match(r"[\w+~./@:$-]+=", error.override, re.ASCII):
        remedy = "See --help for the keys."
    else:
        key, _, value = error.override.partition("=")
        remedy = f"Close every bracket and quote; if they are part of the text: {shell_word(word(key, value))}"
    return UserError("key=value", error.override, remedy)


def _listed(error: Exception, arguments: list[str]) -> UserError | None:
    """An argument with a comma, which parts the values of a sweep, where no sweep was asked for."""
    if "Ambiguous value for argument" not in str(error):
        return None
    sweeps = [one for one in arguments if is_sweep(one)]
    key, _, value = (sweeps or [""])[0].partition("=")
    return UserError(
        "one value, or -m for a sweep over several",
        f"{key}={value}",
        f"If the comma is part of the text: {shell_word(word(key, value))} For a list: {shell_word(f'{key}=[{value}]')}",
    )


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
