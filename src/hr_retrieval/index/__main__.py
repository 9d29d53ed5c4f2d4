"""`python -m hr_retrieval.index`: the documents of a corpus, encoded, in a folder that can be searched."""

from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from hr_retrieval.config.command import entry_point


@entry_point("index")
def main(config: DictConfig) -> None:
    """Make or change one index."""
    from hr_retrieval.extras import check_extra

    check_extra("search", "lancedb")
    from hr_retrieval.index.corpus import Columns, Corpus
    from hr_retrieval.index.indexing import change, make
    from hr_retrieval.ranking.options import asked_mixing

    columns = Columns(**cast(dict[str, Any], OmegaConf.to_container(config.columns)))
    corpus = None if config.corpus is None else Corpus(config.corpus, columns, config.delimiter, config.encoding)
    output = Path(config.output).resolve()
    if config.change or config.delete:
        change(output, config.encoder, corpus, list(config.delete))
    else:
        mixing = asked_mixing(config.ranking.mixing)
        make(output, config.encoder, corpus, config.side, config.overlap, config.lexical, mixing, config.table)


if __name__ == "__main__":
    main()
