"""What a run says before it trains: on what, with what, for how long, and what the encoder cannot read of it."""

import logging
from collections.abc import Sequence

import pytorch_lightning as pl

from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.data.dataset import spaced
from hr_retrieval.data.fit import SAMPLE, Fit, fit_of
from hr_retrieval.data.source import Source
from hr_retrieval.encoder.cross_encoder import CrossEncoder
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.languages import languages, short_name
from hr_retrieval.encoder.wording import Kind
from hr_retrieval.train.ranker import Ranker

log = logging.getLogger(__name__)

# Share of cut texts from which on it is more than a detail.
_MANY_CUT = 0.1
_KINDS: tuple[tuple[Kind, str], ...] = (("query", "queries"), ("document", "documents"))


def say_model(encoder: Encoder, device: str, precision: object) -> None:
    """The model in one line."""
    known = languages(encoder.name_or_path)
    told = encoder.describe()
    log.info(
        "Model: %s%s, %s parameters%s, %d dimensions, on %s in %s",
        short_name(encoder.name_or_path),
        f" ({known})" if known else "",
        _rounded(int(told["parameters"])),
        f", of which {_rounded(int(told['trained_parameters']))} are trained" if told["adapters"] else "",
        encoder.embedding_dimension,
        device,
        precision,
    )
    log.debug("%s", ", ".join(f"{name} {value}" for name, value in told.items() if value != ""))


def say_cross_encoder(cross_encoder: CrossEncoder, depth: int) -> None:
    """What is trained behind the model, in one line."""
    told = cross_encoder.describe()
    log.info(
        "Cross-encoder: %s, %s parameters, %d tokens of a pair; it orders the best %d of the model anew",
        short_name(cross_encoder.name_or_path),
        _rounded(int(told["parameters"])),
        told["max_length"],
        depth,
    )


def say_data(datamodule: RetrievalDataModule, encoder: Encoder) -> None:
    """The data in a line for each source; a warning where the encoder does not read them well."""
    for source, pairs in zip(datamodule.sources, datamodule.pairs, strict=True):
        dataset = source.dataset
        log.info("Data: %s, %s training pairs, %s", source.name, f"{len(pairs):,}", _counts(source))
        told = False
        for kind, plural in _KINDS:
            rows = spaced(dataset.query_count if kind == "query" else dataset.document_count, SAMPLE)
            fit = fit_of(encoder, dataset.texts_at("queries" if kind == "query" else "corpus", rows), kind)
            if fit.broken and not told:
                told = True
                log.warning("%s", _broken(encoder, source.name, plural, fit))
            if fit.cut > _MANY_CUT:
                log.warning("%s", _cut(encoder, source.name, plural, fit))


def say_training(
    trainer: pl.Trainer, module: Ranker, datamodule: RetrievalDataModule, seconds_a_token: float | None
) -> None:
    """How many steps, and about how long they take, by how fast the encoder was before.

    Args:
        seconds_a_token: of encoding without gradient; `None` where it was not measured.
    """
    # The loader was made before the processes were dealt their parts.
    batches = max(1, len(datamodule.train_dataloader()) // trainer.world_size)
    limit = trainer.limit_train_batches
    taken = int(batches * limit) if isinstance(limit, float) else min(int(limit), batches)
    steps = -(-taken // trainer.accumulate_grad_batches)
    epochs = trainer.max_epochs if trainer.max_epochs not in (None, -1) else None
    total = None if epochs is None else steps * epochs
    if trainer.max_steps != -1:
        total = trainer.max_steps if total is None else min(total, trainer.max_steps)
    told = f"{f'{epochs} epochs of ' if epochs else ''}{steps:,} steps, {datamodule.batch_size} pairs a step"
    if total is not None:
        told += f"; {total:,} steps in all"
    if total and seconds_a_token:
        # Forward and backward of a step are about three times as much as encoding.
        tokens = sum(_tokens_a_step(datamodule, source) * source.share for source in range_of(datamodule))
        told += f"; about {duration(3 * seconds_a_token * tokens * total)} and the validations, at the speed of the measurement"
    log.info("Training: %s", told)


def range_of(datamodule: RetrievalDataModule) -> Sequence[Source]:
    """The sources that are trained on."""
    return [source for source in datamodule.sources if source.share]


def _tokens_a_step(datamodule: RetrievalDataModule, source: Source) -> float:
    """Tokens that a batch of a source has in the mean: anchors and a document each."""
    place = datamodule.sources.index(source)
    sides = datamodule.tokens[place]
    return datamodule.batch_size * sum(len(side.ids) / max(1, len(side)) for side in sides)


def duration(seconds: float) -> str:
    """A time as one says it: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _counts(source: Source) -> str:
    dataset = source.dataset
    counts = [f"{int((dataset.query_split == number).sum()):,}" for number in (1, 2)]
    return f"{counts[0]} validation and {counts[1]} test queries, {dataset.document_count:,} documents"


def _broken(encoder: Encoder, name: str, plural: str, fit: Fit) -> str:
    return (
        f"{short_name(encoder.name_or_path)} takes the {fit.script} words of {name} to pieces: {fit.tokens_a_word:.1f} tokens "
        f"a word in its {plural}, where an encoder of the language takes about 2. It was hardly trained on such texts. For "
        "Russian and a hundred other languages: model=e5-small, without a hub also "
        "model.encoder.name_or_path=builtin:multilingual-e5-small; or model=mpnet."
    )


def _cut(encoder: Encoder, name: str, plural: str, fit: Fit) -> str:
    told = f"{fit.cut:.0%} of the {plural} of {name} are cut at {encoder.max_length} tokens, and {fit.read:.0%} of their text is read"
    if fit.length is None:
        return f"{told}: it is all that this encoder can read."
    return f"{told}. model.encoder.max_length={fit.length} reads more, at {fit.cost:.1f} times the tokens, and so the time."


def _rounded(count: int) -> str:
    return f"{count / 1e6:.1f} million" if count >= 1e6 else f"{count:,}"
