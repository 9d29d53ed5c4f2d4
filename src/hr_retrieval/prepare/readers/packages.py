"""Files of an installed package, which is not imported."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from hr_retrieval.errors import UserError


def package_files(package: str, command: str, paths: Sequence[str]) -> list[Path]:
    """The files at these paths within the package.

    Args:
        command: installs the version that holds them.

    Raises:
        UserError: the package is not installed, or lacks one of them.
    """
    try:
        found = distribution(package)
    except PackageNotFoundError:
        raise UserError(f"the package {package}, which carries the texts", "none", f"{command}") from None
    files = [Path(str(found.locate_file(path))) for path in paths]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise UserError(f"the file {missing[0]}", "none", f"Install the version that holds it: {command}")
    return files
