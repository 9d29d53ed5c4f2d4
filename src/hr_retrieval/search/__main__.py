"""`python -m hr_retrieval.search`: the documents of an index that answer a query, or fit a résumé."""

from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from hr_retrieval.config.command import entry_point


@entry_point("search")
def main(config: DictConfig) -> None:
    """Search once."""
    from hr_retrieval.extras import check_extra

    check_extra("search", "lancedb")
    from hr_retrieval.search.answer import asked_text, report
    from hr_retrieval.store.searcher import Asked, Searcher

    text = asked_text(config.query, config.resume)
    filters = cast(dict[str, Any], OmegaConf.to_container(config.filters))
    asked = Asked(
        k=config.k,
        filters=filters,
        passages=config.passages,
        hybrid=config.hybrid,
        weight=config.weight,
        explain=True,
    )
    searcher = Searcher(Path(config.index), config.encoder, config.rerank)
    (hits,) = searcher.search([text], asked)
    report(hits, config.output, searcher.recall([text], asked) if config.recall else None)


if __name__ == "__main__":
    main()
