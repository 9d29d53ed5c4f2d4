"""Command lines that prepare a data set, or use it, as a user would have to write them."""

import re
import shlex
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from hr_retrieval.config.schema import config_dir

# The option of the group `data` by the class of the reader.
_OPTIONS = {
    "CsvReader": "csv",
    "ParquetReader": "parquet",
    "JsonLinesReader": "jsonl",
    "PickleReader": "pickle",
    "BeirReader": "beir",
    "EscoReader": "esco",
    "EscoDownloadReader": "esco_titles",
    "OnetReader": "onet_tasks",
    "OnetWorkReader": "onet_work",
    "HhReader": "hh",
    "TrecReader": "trec",
    "MtebReader": "mteb",
    "SqlReader": "sql",
    "XlsxReader": "xlsx",
    "ResumeReader": "resumes",
}


def data_command(
    verb: str, folder: Path, info: Mapping[str, Any], changes: Mapping[str, Any] | None = None, *more: str
) -> str:
    """A command line, quoted for Hydra and the shell, with every `data` option that is not the default.

    Args:
        verb: prepare or train.
        folder: of the data set.
        info: name, options and seed, as in `dataset.json`; licence and source where they are to be
            said.
        changes: options that are to be others, by dotted key.
        more: further arguments.
    """
    reader = dict(info["options"]["reader"])
    option = _option(str(info["name"]), reader.pop("class"))
    options = {key: info[key] for key in ("name", "licence", "source") if info.get(key) is not None}
    if "inputs" in info and options.get("source") == usual_source(info["inputs"]):
        del options["source"]
    own = plain_values(options | info["options"] | {"reader": reader, "folder": str(folder)}) | dict(changes or {})
    files = (Path(config_dir()) / f"{name}.yaml" for name in ("data_base", f"data/{option}"))
    usual = OmegaConf.merge(*map(OmegaConf.load, files))
    before = plain_values(OmegaConf.to_container(usual, resolve=False)) | {"folder": f"data/prepared/{info['name']}"}
    words = [f"data={option}", *(f"data.{key}={spoken(value)}" for key, value in own.items() if value != before[key])]
    if info["seed"] != 1:
        words.append(f"split_seed={info['seed']}")
    return " ".join([f"python -m hr_retrieval.{verb}", *map(shlex.quote, [*words, *more])])


def _option(name: str, reader: str) -> str:
    """The option of `data=` that has the data set's own name, if its reader is this one; else the reader's."""
    named = {path.stem: path for path in Path(config_dir(), "data").glob("*.yaml")}.get(name)
    own = None if named is None else OmegaConf.select(OmegaConf.load(named), "reader._target_")
    return name if str(own).endswith(f".{reader}") else _OPTIONS[reader]


def usual_source(inputs: Iterable[object]) -> str:
    """What `dataset.json` says of the source if nothing else is said: the first files."""
    return ", ".join(str(path) for path in islice(inputs, 3))


def plain_values(options: Any, path: str = "") -> dict[str, Any]:
    """The values by dotted key, lists whole, without what a config builds."""
    plain: dict[str, Any] = {}
    for key, value in options.items():
        if isinstance(value, Mapping):
            plain |= plain_values(value, f"{path}{key}.")
        elif key not in ("_target_", "defaults"):
            plain[f"{path}{key}"] = value
    return plain


def spoken(value: Any) -> str:
    """A value as Hydra's command line reads it back."""
    if isinstance(value, list):
        return f"[{','.join(map(spoken, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if not isinstance(value, str):
        return str(value)
    # What begins like a number or is a word of Hydra's own would be read as something else.
    if re.fullmatch(r"[A-Za-z_./][\w./-]*", value, re.ASCII) and value.casefold() not in (
        "null", "true", "false", "nan", "inf",
    ):  # fmt: skip
        return value
    escaped = re.sub(r'(\\*)(?="|$)', r"\1\1", value).replace('"', '\\"')
    return f'"{escaped}"'
