"""`python -m hr_retrieval.forget`: a person taken out of prepared data sets, indexes and run directories."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from hr_retrieval.config.command import entry_point

if TYPE_CHECKING:
    from hr_retrieval.forget.person import Person


@entry_point("forget")
def main(config: DictConfig) -> None:
    """Say what each folder holds of a person, and take it out where that is asked for."""
    from hr_retrieval.errors import UserError
    from hr_retrieval.forget.person import Person

    person, folders = Person(list(config.find)), [Path(str(folder)) for folder in config.folders]
    missing = [folder for folder in folders if not folder.is_dir()]
    if missing or not folders:
        came = f"{missing[0]}, which is none" if missing else "none"
        raise UserError("folders=[...] to list folders", came, "Name prepared data sets, indexes and run directories.")
    for folder in folders:
        _in_folder(folder, person, bool(config.apply))
    print(
        "Not searched: the files that the data were read from, copies and backups. A text may also be gone from a folder, and still "
        "be remembered by weights that were trained on it (docs/privacy.md)."
        + ("" if config.apply else "\nNothing was changed: add apply=true.")
    )


def _in_folder(folder: Path, person: "Person", apply: bool) -> None:
    """Each prepared data set and each index at or below the folder by itself, and then the rest of it."""
    from hr_retrieval.forget import prepared, run_folder

    left = prepared.left_in(folder)
    sets = [
        place for place in prepared.prepared_in(folder) if not any(part in left for part in (place, *place.parents))
    ]
    indexes = sorted(file.parent for file in folder.rglob("index.json"))
    for place in sets:
        _in_prepared(place, person, apply)
    for place in indexes:
        _in_index(place, person, apply)
    for place, stages in left.items():
        print(f"{place}: of a command that was stopped{_end_of(stages, apply)}")
        if apply and stages:
            shutil.rmtree(place)
    if folder in (*sets, *indexes):
        return
    found = run_folder.found_in(folder, person, {*sets, *indexes, *left})
    for file, count in found.rows.items():
        print(f"{file}: {count:,} rows{', taken out' if apply else ''}")
    for file in found.boards:
        print(f"{file}: holds it{', removed' if apply else ''}")
    for file in found.others:
        print(f"{file}: holds it; mend or remove it by hand")
    if not (found.rows or found.boards or found.others):
        print(f"{folder}: no text of it{' elsewhere' if sets or indexes else ''}")
    if found.weights:
        print(f"{folder}: no text can be looked for in its weights; if they were trained on it, train anew")
    if apply:
        run_folder.forget_in(found, person)


def _end_of(stages: bool, apply: bool) -> str:
    if stages:
        return ", removed" if apply else ", and may hold any text"
    return " or still runs, and may hold any text: if none runs, remove it by hand"


def _in_prepared(folder: Path, person: "Person", apply: bool) -> None:
    from hr_retrieval.forget import prepared

    rows = prepared.found_in(folder, person)
    counts = [
        f"{len(found):,} {'texts' if name == 'dataset.json' else 'rows'} of {name}" for name, found in rows.items()
    ]
    print(f"{folder}: {', '.join(counts)}")
    if apply and any(rows.values()):
        lost = prepared.forget_in(folder, rows)
        print(
            f"  taken out: {', '.join(f'{count:,} of {table}' for table, count in lost.items())}; its token caches are removed. "
            "Encoders that were trained on it must be trained anew, and evaluations made anew."
        )


def _in_index(folder: Path, person: "Person", apply: bool) -> None:
    from hr_retrieval.index.indexing import change
    from hr_retrieval.store.manifest import Manifest
    from hr_retrieval.store.table import PassageTable

    table = PassageTable(Manifest.read(folder).table_place(folder))
    texts = table.read(
        [name for name in table.schema.names if name not in ("vector", "digest", "begin", "end")]
    ).to_pylist()
    ids = sorted(
        {
            row["document_id"]
            for row in texts
            if any(person.is_in(str(value)) for value in row.values() if value is not None)
        }
    )
    print(f"{folder}: {len(ids):,} documents of the index")
    if apply and ids:
        change(folder, None, None, ids)
        print(
            "  taken out of what is searched; files of the index keep deleted texts until they are rewritten: index the corpus anew"
        )


if __name__ == "__main__":
    main()
