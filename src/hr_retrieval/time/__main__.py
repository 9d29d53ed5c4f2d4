"""`python -m hr_retrieval.time`: how long an encoder and the search over its embeddings take on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from hr_retrieval.config.command import entry_point

if TYPE_CHECKING:
    from hr_retrieval.time.texts import Texts


@entry_point("time")
def main(config: DictConfig) -> None:
    """Time one encoder."""
    from hr_retrieval.extras import ONNX, check_extra

    if config.onnx:
        check_extra("onnx", *ONNX)
    # torch takes seconds to import; `--help` needs none of it.
    from hr_retrieval.encoder.languages import short_name
    from hr_retrieval.runs.folder import output_folder
    from hr_retrieval.time.texts import Texts
    from hr_retrieval.time.timing import report, take_timings, usual_count

    folder = config.data.folder
    output = output_folder(config.output, "timings", [short_name(config.encoder)])
    count = usual_count() if config.texts is None else config.texts
    texts = Texts.of(Path(folder), count) if folder else _builtin(count)
    report(take_timings(config.encoder, output, texts, count, config.repeats, config.onnx), output)


def _builtin(count: int) -> "Texts":
    """The texts of ESCO: the first words of its labels as queries, its descriptions as documents."""
    from hr_retrieval.data.dataset import spaced
    from hr_retrieval.prepare.readers.esco import EscoReader
    from hr_retrieval.time.texts import QUERIES, Texts

    batches = EscoReader(label_words=3).batches(["labels", "description"])
    concepts = [row for batch in batches for row in batch.values]
    queries = [concepts[row]["labels"] for row in spaced(len(concepts), QUERIES)]
    return Texts("ESCO, built in", queries, [concepts[row]["description"] for row in spaced(len(concepts), count)])


if __name__ == "__main__":
    main()
