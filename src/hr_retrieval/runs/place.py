"""Whether a folder is a run directory, or may become one."""

from pathlib import Path

from hr_retrieval.errors import UserError


def check_run(folder: Path) -> None:
    """Raise `UserError`, with what may have been meant, unless the folder is a run directory."""
    if (folder / "config.yaml").is_file():
        return
    got = (
        f"the file {folder}"
        if folder.is_file()
        else f"{folder} without it"
        if folder.is_dir()
        else f"{folder}, which does not exist"
    )
    around = next((parent for parent in folder.parents if (parent / "config.yaml").is_file()), None)
    raise UserError(
        "a run directory with config.yaml",
        got,
        "Name a folder such as outputs/<project>/<time>."
        if around is None
        else f"Name {around}, the run that it is in.",
    )


def check_new(folder: Path) -> None:
    """Raise `UserError` if the folder holds a run already."""
    if (folder / "config.yaml").exists():
        raise UserError(
            "a new run directory",
            f"{folder}, which holds a run",
            f"Go on with resume={folder}, or name another output.",
        )
