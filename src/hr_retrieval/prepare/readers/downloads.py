"""The files of a download, found by their names in its folder."""

from collections.abc import Sequence
from pathlib import Path

from hr_retrieval.errors import UserError


def files_of(folder: str, wanted: Sequence[str | Sequence[str]], what: str) -> list[Path]:
    """The files of a folder; where several names are given for one, the first that is there.

    Args:
        what: the download, for the error.

    Raises:
        UserError: the folder lacks some of them, which are all named.
    """
    place = Path(folder)
    names = [(name,) if isinstance(name, str) else tuple(name) for name in wanted]
    found = [next((place / name for name in several if (place / name).is_file()), None) for several in names]
    missing = [" or ".join(several) for several, file in zip(names, found, strict=True) if file is None]
    if missing:
        there = sorted(path.name for path in place.iterdir())[:8] if place.is_dir() else []
        came = f"no {', no '.join(missing)}; there are {', '.join(there)}" if there else "no files there"
        raise UserError(
            f"{what} in the folder {place}: {', '.join(' or '.join(several) for several in names)}",
            came,
            "Set data.reader.folder to where the download was unpacked.",
        )
    return [file for file in found if file is not None]
