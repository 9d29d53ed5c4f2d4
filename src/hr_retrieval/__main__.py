"""`hr-retrieval <verb>` and `python -m hr_retrieval <verb>`: every verb behind one name, and what there is."""

import difflib
import sys
from importlib import import_module
from pathlib import Path

from hr_retrieval.config.schema import config_dir
from hr_retrieval.errors import UserError
from hr_retrieval.program import SCRIPT

# As they come in the life of an encoder; a verb that is not named here comes behind these.
_ORDER = (
    "prepare", "inspect", "train", "runs", "evaluate", "compare", "merge", "export", "index", "search", "serve", "time",
)  # fmt: skip


def main() -> None:
    """Hand the rest of the command line to the verb that it begins with, or list the verbs."""
    name, *arguments = sys.argv[1:] or ["--help"]
    known = verbs()
    if name in known:
        sys.argv = [f"{SCRIPT} {name}", *arguments]
        import_module(f"hr_retrieval.{name}.__main__").main()
    elif name in ("--help", "-h", "help"):
        print(_listed(known))
    else:
        near = difflib.get_close_matches(name, known, 1)
        remedy = f"Did you mean {SCRIPT} {near[0]}?" if near else f"There are: {', '.join(known)}."
        print(UserError("a verb", name, remedy), file=sys.stderr)
        raise SystemExit(1)


def verbs() -> dict[str, str]:
    """Each verb and what it does: the first words of its config."""
    found = {path.parent.name for path in Path(__file__).parent.glob("*/__main__.py")}
    named = [name for name in _ORDER if name in found] + sorted(found.difference(_ORDER))
    headers = {name: (Path(config_dir()) / f"{name}.yaml").read_text(encoding="utf-8") for name in named}
    return {name: text.splitlines()[0].removeprefix("# ").partition(":")[0] for name, text in headers.items()}


def _listed(known: dict[str, str]) -> str:
    lines = [f"{SCRIPT} <verb> key=value ...        {SCRIPT} <verb> --help lists the keys of a verb", ""]
    lines += [f"  {name:<10}{does}" for name, does in known.items()]
    return "\n".join([*lines, "", f"To begin with: {SCRIPT} train experiment=quickstart"])


if __name__ == "__main__":
    main()
