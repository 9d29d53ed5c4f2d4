"""`python -m hr_retrieval.prepare`: a raw file as a prepared data set."""

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from hr_retrieval.config.command import entry_point
from hr_retrieval.config.overrides import word
from hr_retrieval.config.sources import data_nodes
from hr_retrieval.data.command import recorded
from hr_retrieval.program import called, shell_word

if TYPE_CHECKING:
    from hr_retrieval.prepare.preparation import Preparation


# Characters of the texts that are shown.
_SHOWN = 80


@entry_point("prepare", recorded)
def main(config: DictConfig) -> None:
    """Prepare one source, or each of several."""
    # pyarrow and pandas take a second to import; `--help` needs neither.
    from hr_retrieval.config.build import build

    for node in data_nodes(config.data):
        _prepare(build(node, _convert_="all"), config)


def _prepare(preparation: "Preparation", config: DictConfig) -> None:
    dataset = preparation.run(config.split_seed, config.replace)
    counts = dataset.info["counts"]
    for name, numbers in counts["splits"].items():
        print(
            f"{name:<11}{numbers['queries']:>10,} queries {numbers['documents']:>10,} documents {numbers['positives']:>10,} positives"
        )
    for reason, number in counts["rejected"].items():
        print(f"rejected   {number:>10,} rows: {reason}")
    for reason, number in counts["skipped_values"].items():
        print(f"left out   {number:>10,} values: {reason}")
    if counts["repaired"]:
        print(f"left out   {counts['repaired']:>10,} queries that would show measured ones")
    for kind, number in counts["masked"].items():
        print(f"masked     {number:>10,} pieces: {kind}")
    if counts["boilerplate"]:
        own = counts["boilerplate"]
        print(
            f"left out   {own['left_out']:>10,} times one of {own['sentences']:,} sentences that many documents share"
        )
    for kind, number in counts["merged"].items():
        print(f"merged     {number:>10,} {kind}")
    query, document = (next(iter(dataset.texts(table)))[0][:_SHOWN] for table in ("queries", "corpus"))
    print(f"A query: {query!r}; a document: {document!r}")
    print(f"The data set is in {dataset.folder}.")
    if counts["rejected"]:
        print(f"Rejected rows, each with its reason, are in {dataset.folder / 'rejected.parquet'}.")
    print(f"Next: {called('inspect')} {shell_word(word('data.folder', str(dataset.folder)))}, then")
    print(f"      {called('train')} {shell_word(word('data.folder', str(dataset.folder)))}")


if __name__ == "__main__":
    main()
