"""A command line over one config: what comes in is quoted and checked, and every error ends in one message."""

import functools
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log, run_job
from hydra.experimental.callback import Callback
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from hr_retrieval.config.build import check_targets
from hr_retrieval.config.help import help_text
from hr_retrieval.config.message import message
from hr_retrieval.config.overrides import quoted
from hr_retrieval.config.schema import config_dir
from hr_retrieval.config.sources import composable
from hr_retrieval.config.startup import check_startup
from hr_retrieval.errors import UserError

# With it Hydra hands exceptions on, instead of printing them with advice of its own.
_FULL_ERROR = "HYDRA_FULL_ERROR"


def entry_point(
    name: str, given: Callable[[Sequence[str]], list[str]] = list
) -> Callable[[Callable[[DictConfig], float | None]], Callable[[], None]]:
    """Turn `verb(config)` into a command line over `configs/<name>.yaml`.

    `given` may add what the arguments imply. A command that failed before it made anything leaves
    no folder.

    What the verb returns is what a sweep optimises. An exception ends the command with status 1 and
    one message; where the message does not say it all, the traceback is in a file that it names.
    With HYDRA_FULL_ERROR=1 the traceback is printed instead.
    """

    def decorate(verb: Callable[[DictConfig], float | None]) -> Callable[[], None]:
        # The user's own value of the variable, for the processes that a job starts, and what a
        # single run raised.
        asked: dict[str, str | None] = {}
        failures: list[tuple[Exception, Path | None]] = []

        @functools.wraps(verb)
        def job(config: DictConfig) -> float | None:
            try:
                with _variable(_FULL_ERROR, asked.get(_FULL_ERROR)):
                    return verb(_settings(config))
            except Exception as error:
                # A sweep counts failures by the exception. In a single run Hydra would only print
                # its own line about it.
                if HydraConfig.get().mode == RunMode.MULTIRUN:
                    raise
                failures.append((error, _begun_folder()))
                return None
            except (KeyboardInterrupt, SystemExit):
                _begun_folder()
                raise

        command = hydra.main(version_base="1.3", config_path=config_dir(), config_name=name)(job)

        @functools.wraps(verb)
        def main() -> None:
            arguments, asked[_FULL_ERROR] = sys.argv, os.environ.get(_FULL_ERROR)
            failures.clear()
            try:
                with _variable(_FULL_ERROR, "1"):
                    sys.argv = [arguments[0], *composable([quoted(word) for word in given(arguments[1:])])]
                    if {"--help", "-h"} & set(sys.argv[1:]):
                        print(help_text(name, [word for word in sys.argv[1:] if not word.startswith("-")]), flush=True)
                        return
                    single = check_startup(name, sys.argv[1:])
                    command() if single is None else _run(job, single)
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
                print(message(error, arguments[1:], folder), file=sys.stderr)
                raise SystemExit(1) from None
            finally:
                sys.argv = arguments

        return main

    return decorate


def _run(job: Callable[[DictConfig], float | None], config: DictConfig) -> None:
    """Run a job once as `hydra.main` would, which composes its config twice more: for the mode alone, and to run it."""
    config.hydra.mode = RunMode.RUN
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    run_job(job, config, "hydra.run.dir", None, HydraContext(config_loader=None, callbacks=Callback()))


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


def _begun_folder() -> Path | None:
    """The run directory, where Hydra made one for this job alone; one that holds Hydra's files alone is removed."""
    settings = HydraConfig.get()
    if not settings.output_subdir or settings.mode == RunMode.MULTIRUN:
        return None
    folder = Path(settings.runtime.output_dir)
    if not {path.name for path in folder.iterdir()} <= {settings.output_subdir, f"{settings.job.name}.log"}:
        return folder
    shutil.rmtree(folder)
    # Those above that were made for it, which hold nothing else.
    for parent in folder.parents:
        if not parent.is_relative_to(Path.cwd() / "outputs") or any(parent.iterdir()):
            break
        parent.rmdir()
    return None


def _end_unread() -> NoReturn:
    """End as a program does whose reader, such as `head`, has gone: in silence, with the status of SIGPIPE."""
    # The interpreter would write what is left to the closed pipe at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(128 + signal.SIGPIPE)
