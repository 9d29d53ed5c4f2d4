"""Command lines that prepare a data set, or use it, as a user would have to write them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from hr_retrieval.config.overrides import word
from hr_retrieval.config.schema import config_dir
from hr_retrieval.errors import UserError
from hr_retrieval.files import read_json
from hr_retrieval.program import called, shell_word

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
    return " ".join([called(verb), *map(shell_word, [*_words(folder, info, changes), *more])])


def recorded(arguments: Sequence[str]) -> list[str]:
    """The arguments, before them the options that a prepared data set which they name knows itself by.

    `data.folder=data/prepared/mine` alone is all that a training on it needs. Where `data=` is
    given too, that is meant; and a run that goes on has its data.
    """
    given = [re.fullmatch(r"data\.folder=(.+)", word) for word in arguments]
    folders = [Path(found[1].strip("\"'")) for found in given if found]
    if len(folders) != 1 or any(re.match(r"(data|resume)=", word) for word in arguments):
        return list(arguments)
    (folder,) = folders
    if not (folder / "corpus.parquet").is_file():
        return list(arguments)
    info = read_json(folder / "dataset.json") if (folder / "dataset.json").is_file() else {}
    if "options" not in info:
        # Made by hand: of its source nothing is known.
        own = {"name": info.get("name", folder.resolve().name), "licence": info.get("licence", "unknown")}
        return _before([*(word(f"data.{key}", value) for key, value in own.items()), "data.source=null"], arguments)
    return _before([word for word in _words(folder, info, None) if not word.startswith("data.folder=")], arguments)


def recorded_only(arguments: Sequence[str]) -> list[str]:
    """`recorded` for a command that reads a set by its folder: a mistyped one is not prepared from the default source.

    Raises:
        UserError: nothing but the folder is said of the data, and it is no prepared set.
    """
    known = recorded(arguments)
    said = [argument for argument in known if re.match(r"(data|experiment|resume)\b", argument)]
    if len(said) == 1 and said[0].startswith("data.folder="):
        raise UserError(
            "a prepared data set in data.folder",
            f"{said[0].partition('=')[2]}, which is none",
            f"Check the path; or prepare it: {called('prepare')} data=<option> {shell_word(said[0])}",
        )
    return known


def unrecorded(arguments: Sequence[str]) -> list[str]:
    """The arguments as short as they can be typed: without what `recorded` puts before them."""
    folders = [argument for argument in arguments if argument.startswith("data.folder=")]
    implied = {*recorded(folders)} - {*folders}
    return [argument for argument in arguments if argument not in implied]


def _before(words: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """The words before the first override: what a user says himself wins, and options such as -m stay in front."""
    place = next(number for number, argument in enumerate(arguments) if re.match(r"[+~\w][^ ]*=", argument))
    return [*arguments[:place], *words, *arguments[place:]]


def _words(folder: Path, info: Mapping[str, Any], changes: Mapping[str, Any] | None) -> list[str]:
    """The overrides that describe a data set: those that differ from its option's defaults."""
    reader = dict(info["options"]["reader"])
    option = _option(str(info["name"]), reader.pop("class"))
    options = {key: info[key] for key in ("name", "licence", "source") if info.get(key) is not None}
    if "inputs" in info and options.get("source") == usual_source(info["inputs"]):
        del options["source"]
    own = plain_values(options | info["options"] | {"reader": reader, "folder": str(folder)}) | dict(changes or {})
    files = (Path(config_dir()) / f"{name}.yaml" for name in ("data_base", f"data/{option}"))
    usual = OmegaConf.merge(*map(OmegaConf.load, files))
    before = plain_values(OmegaConf.to_container(usual, resolve=False)) | {"folder": f"data/prepared/{info['name']}"}
    words = [f"data={option}", *(word(f"data.{key}", value) for key, value in own.items() if value != before[key])]
    if info["seed"] != 1:
        words.append(f"split_seed={info['seed']}")
    return words


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
