"""`python -m hr_retrieval.inspect`: what a person should see of a data set before training on it."""

from pathlib import Path

from omegaconf import DictConfig

from hr_retrieval.config.command import entry_point


@entry_point("inspect")
def main(config: DictConfig) -> None:
    """Prepare the data set if it is missing, look at it, print what is found and write the page."""
    from hr_retrieval.config.build import build
    from hr_retrieval.data.dataset import PreparedDataset
    from hr_retrieval.encoder.encoder import Encoder
    from hr_retrieval.errors import UserError
    from hr_retrieval.files import whole_file
    from hr_retrieval.inspect.findings import findings
    from hr_retrieval.inspect.page import page, plain
    from hr_retrieval.inspect.words import Words

    words = Words(config.language)
    masks = []
    if "_target_" in config.data:
        preparation = build(config.data, _convert_="all")
        dataset = preparation.open_or_run(config.split_seed)
        masks = preparation.masked_examples()
    elif config.data.folder is None:
        raise UserError("data=... or data.folder=...", "neither", "Name an option of data=, or a prepared data set.")
    else:
        dataset = PreparedDataset.open(Path(config.data.folder))
    encoder = None if config.encoder is None else Encoder(config.encoder)
    found = findings(dataset, encoder, masks)
    output = Path(config.output or f"outputs/inspect/{found.name}.html")
    with whole_file(output) as partial:
        partial.write_text(page(found, words), encoding="utf-8")
    print(plain(found, words))
    print(f"\nThe page is {output}.")


if __name__ == "__main__":
    main()
