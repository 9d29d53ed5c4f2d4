"""What `--help` says of a verb: its groups, and each of its keys with its value and a line on what it does.

The lines are the docstrings of whoever reads a key; sources are parsed for them and not imported,
since torch takes seconds.
"""

import ast
import functools
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from hr_retrieval.config.schema import config_dir
from hr_retrieval.program import called

_PACKAGE = Path(__file__).parents[1]
_WIDTH = 110
# A key with its value, and where the line on it begins.
_INDENT = 6
# Values that go over several lines are shown in part.
_SHOWN = 60


def help_text(verb: str, overrides: Sequence[str]) -> str:
    """The help of a verb, as the overrides beside `--help` make it: `data=csv --help` has the keys of CSV."""
    with hydra.initialize_config_dir(config_dir(), version_base="1.3"):
        config = hydra.compose(verb, list(overrides), return_hydra_config=True)
        groups = _groups(config.hydra.runtime.choices)
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    text = (Path(config_dir()) / f"{verb}.yaml").read_text(encoding="utf-8")
    header, file = text.splitlines()[0].removeprefix("# "), OmegaConf.create(text)
    does, _, example = header.partition(": ")
    parts = [f"hr_retrieval.{verb}: {does}.", f"  {example.replace(f'python -m hr_retrieval.{verb}', called(verb))}"]
    if groups:
        parts += ["Choose with group=option (now):", *groups]
    parts += ["Set with key=value (now):", *_keys(verb, own)]
    parts += [OmegaConf.select(file, "hydra.help.footer", default="").rstrip()] if isinstance(file, DictConfig) else []
    parts += [
        "A value with spaces, brackets or ; needs quotes of the shell around the whole word: 'key=a value';",
        "one with a comma, which parts the values of a sweep, a backslash before it: 'key=a\\, b'.",
    ]
    return "\n".join(part for part in parts if part)


def _groups(choices: Mapping[str, str | None]) -> list[str]:
    """A line for each group that the verb chooses from."""
    lines = []
    for group, chosen in choices.items():
        folder = Path(config_dir()) / group.split("@")[0]
        if group.startswith("hydra/") or not folder.is_dir():
            continue
        options = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        lines += textwrap.wrap(
            f"{group}={chosen or 'null'}: {options}", _WIDTH, initial_indent="  ", subsequent_indent=" " * _INDENT
        )
    return lines


def _keys(verb: str, config: DictConfig) -> Iterator[str]:
    """Each key with its value, and below it what it does."""
    plain: Any = OmegaConf.to_container(config, resolve=False)
    schema = ConfigStore.instance().load(f"{verb}_schema.yaml").node
    yield from _node(plain, "", _lines_of(inspect.getdoc(OmegaConf.get_type(schema)) or ""), schema)


def _node(node: Mapping[str, Any], path: str, lines: Mapping[str, str], schema: Any = None) -> Iterator[str]:
    """Likewise of a part, whose lines are those of its class in the schema or of what is built from it."""
    target = node.get("_target_")
    if target is not None:
        if not str(target).startswith("hr_retrieval."):
            yield from _foreign(node, path)
            return
        lines = documented(str(target))
    # First what is said in one line, then the parts.
    for key, value in sorted(node.items(), key=lambda pair: isinstance(pair[1], dict)):
        name = f"{path}{key}"
        if isinstance(value, dict) and value:
            if key in lines and not path:
                yield from _said(f"{name}.…", lines[key])
            own = OmegaConf.select(schema, str(key), throw_on_missing=False) if schema is not None else None
            typed = _lines_of(inspect.getdoc(OmegaConf.get_type(own)) or "") if own is not None else {}
            yield from _node(value, f"{name}.", typed or _below(lines, str(key)))
        elif not str(key).startswith("_"):
            yield from _said(f"{name}={_shown(value)}", lines.get(str(key), ""))


def _below(lines: Mapping[str, str], key: str) -> dict[str, str]:
    """What a docstring says of parts of a key: `data.folder` is said by the line on `data`."""
    found = re.match(rf"`{re.escape(key)}\.(\w+)`", lines.get(key, ""))
    return {found[1]: lines[key]} if found else {}


def _foreign(node: Mapping[str, Any], path: str) -> Iterator[str]:
    """Keys of what another library documents, in one paragraph."""
    keys = [f"{key}={_shown(value)}" for key, value in node.items() if not str(key).startswith("_")]
    yield f"  {path}…  ({node['_target_']})"
    yield from textwrap.wrap(
        "  ".join(keys), _WIDTH, initial_indent=" " * _INDENT, subsequent_indent=" " * _INDENT, break_long_words=False
    )


def _said(key: str, line: str) -> list[str]:
    indent = " " * _INDENT
    return [f"  {key}", *textwrap.wrap(line, _WIDTH, initial_indent=indent, subsequent_indent=indent)]


def _shown(value: Any) -> str:
    """As a command line has it; `???` is to be given."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


@functools.cache
def documented(target: str) -> dict[str, str]:
    """What the docstring of a class or function of this package says of each argument; its bases' where it says none.

    Args:
        target: its dotted name; the class may stand in any file of the package that it names.
    """
    *parts, name = target.split(".")[1:]
    place = _PACKAGE.joinpath(*parts)
    files = sorted(place.glob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    for file in files:
        # The definition alone, up to the next line that begins at the margin: to parse whole files takes a third of a
        # second, where a base may stand in any file of its package.
        found = re.search(rf"^(class|def) {name}\b.*\n((?![\w@]).*\n)*", file.read_text(encoding="utf-8"), re.MULTILINE)
        if found is not None:
            (node,) = ast.parse(found[0]).body
            assert isinstance(node, ast.ClassDef | ast.FunctionDef)
            bases = node.bases if isinstance(node, ast.ClassDef) else []
            package = ".".join(["hr_retrieval", *file.parent.relative_to(_PACKAGE).parts])
            inherited = [documented(f"{package}.{base.id}") for base in bases if isinstance(base, ast.Name)]
            merged = {key: line for one in inherited for key, line in one.items()}
            return merged | _lines_of(ast.get_docstring(node) or "")
    return {}


def _lines_of(docstring: str) -> dict[str, str]:
    """What stands under `Args:` and `Attributes:` by name; the former wins."""
    found: dict[str, str] = {}
    for section in ("Attributes", "Args"):
        part = re.search(rf"^{section}:\n((?:    .*\n?|\n)+)", docstring, re.MULTILINE)
        for name, text in re.findall(r"^    (\w+): ((?:.+\n?)(?: {8}.*\n?)*)", part[1] if part else "", re.MULTILINE):
            found[name] = " ".join(text.split())
    return found
