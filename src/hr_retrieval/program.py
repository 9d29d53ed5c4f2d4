"""How this program is called by a line that a user can paste into the shell that started it."""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

SCRIPT = "hr-retrieval"


def called(verb: str) -> str:
    """The beginning of a command line, quoted for the shell.

    `hr-retrieval train` where the script of this environment is found, its path where another one
    or none is, and `python -m hr_retrieval.train` where the package was not installed.
    """
    script, python = Path(sys.executable).with_name(SCRIPT), Path(sys.executable)
    if script.is_file():
        return f"{_named(script)} {verb}"
    return f"{_named(python)} -m hr_retrieval.{verb}"


def shell_word(text: str) -> str:
    """The text as one word of a shell, in quotes only where the shell needs them: letters of any alphabet do not."""
    return text if re.fullmatch(r"[\w@%+=:,./-]+", text) else shlex.quote(text)


def shown_path(path: Path) -> str:
    """A path as short as it can be said from here: relative to the working directory where it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path)


def _named(program: Path) -> str:
    found = shutil.which(program.name)
    if found is not None and os.path.abspath(found) == str(program):
        return program.name
    return shell_word(shown_path(program))
