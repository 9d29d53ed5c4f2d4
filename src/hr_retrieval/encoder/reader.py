"""What turns texts into one vector each: a tokenizer, a transformer or a table of words, and a pooling."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentence_transformers.sentence_transformer import modules as library
from tokenizers import Tokenizer, processors
from torch import nn

from hr_retrieval.encoder.cpu.rounding import round_embeddings
from hr_retrieval.encoder.loading import choose_length, choose_pooling, own_pooling, positions, report, report_reading
from hr_retrieval.encoder.pooling import modes
from hr_retrieval.encoder.sides import Side
from hr_retrieval.encoder.token_vectors import TokenVectors
from hr_retrieval.encoder.tokenizer import FolderTokenizer, check_tokenizer
from hr_retrieval.encoder.words import WordVectors
from hr_retrieval.errors import UserError

# Of a table of words that nothing limits: more than any text has, and a number that a file can say.
_ENDLESS = 1 << 20


@dataclass(frozen=True)
class Reader:
    """How texts of a kind are read.

    Attributes:
        module: the library's, which holds the weights and the tokenizer.
        layers: the weights by which the vectors of all layers are added up; None for the last.
        tokenizer: from texts to ids.
        token_vectors: from ids to a vector each.
        pooling: from these to one; several joined by `+`.
        max_length: tokens read of each text.
    """

    module: Any
    layers: Any
    tokenizer: FolderTokenizer
    token_vectors: TokenVectors | WordVectors
    pooling: str
    max_length: int

    @property
    def transformer(self) -> nn.Module:
        """What has the weights."""
        transformer: nn.Module = (
            self.module if isinstance(self.module, library.StaticEmbedding) else self.module.auto_model
        )
        return transformer

    @property
    def width(self) -> int:
        """Length of the pooled vectors."""
        width: int = self.module.get_embedding_dimension()
        return width * len(modes(self.pooling))

    @property
    def longest(self) -> int | None:
        """Tokens that there are positions for; None for any number."""
        return positions(self.transformer)


def read_by(
    side: Side,
    folder: Path,
    name: str,
    pooling: str | None,
    max_length: int | None,
    dropout: float,
    packing: bool | None,
) -> Reader:
    """The reader of a side of the library's model of a folder.

    Args:
        name: what to call it in messages.
        pooling: likewise as of `Encoder`, and all that follows.

    Raises:
        UserError: an option does not fit it.
    """
    first = side.reading[0]
    if isinstance(first, library.StaticEmbedding):
        return _table(first, name, pooling, max_length, packing)
    if first.tokenizer is None or not first.tokenizer.is_fast:
        raise UserError(f"a fast tokenizer in {side.folder}", "none", "Save the tokenizer as tokenizer.json.")
    _check_reading(side)
    check_tokenizer(side.folder, first)
    transformer = first.auto_model
    # The pooler is for other tasks. It gets no gradient, and DistributedDataParallel waits for each
    # that is due.
    if getattr(transformer, "pooler", None) is not None:
        transformer.pooler.requires_grad_(False)
    own = own_pooling(side.reading[-1])
    chosen = choose_pooling(pooling, own)
    length = choose_length(max_length, first, least=len(first.tokenizer("").input_ids) + 1)
    report_reading(name, folder, first, own, chosen, length)
    round_embeddings(transformer)
    tokenizer = FolderTokenizer(first.tokenizer.backend_tokenizer, length, first.tokenizer.truncation_side)
    mixed = side.reading[1] if isinstance(side.reading[1], library.WeightedLayerPooling) else None
    # The library looks at it only where the transformer is set to give all layers.
    layers = mixed if getattr(transformer.config, "output_hidden_states", False) else None
    vectors = TokenVectors(transformer, name, length, dropout, packing, layers)
    return Reader(first, layers, tokenizer, vectors, chosen, length)


def _table(module: Any, name: str, pooling: str | None, max_length: int | None, packing: bool | None) -> Reader:
    """A reader by a table of words, which has no special tokens."""
    if pooling not in (None, "mean"):
        raise UserError(
            f"the pooling mean of {name}, a table of words", pooling, "Leave model.encoder.pooling at null."
        )
    if packing is False:
        raise UserError(f"packing=null of {name}, a table of words", "false", "There is nothing to be padded.")
    if max_length is not None and max_length < 1:
        raise UserError("a max_length of at least 1", str(max_length), "Set max_length.")
    module.float()
    tokenizer = Tokenizer.from_str(module.tokenizer.to_str())
    tokenizer.post_processor = processors.Sequence([])
    own = tokenizer.truncation or {"max_length": _ENDLESS, "direction": "right"}
    length = own["max_length"] if max_length is None else max_length
    if own["max_length"] not in (_ENDLESS, length):
        report(name, [f"{own['max_length']} tokens of a text are read: here max_length={length}"])
    return Reader(
        module, None, FolderTokenizer(tokenizer, length, own["direction"]), WordVectors(module), "mean", length
    )


def _check_reading(side: Side) -> None:
    """Raise `UserError` unless the last hidden states of a text become one embedding."""
    first = side.reading[0]
    reading = first.modality_config.get("text")
    expected = {"method": "forward", "method_output_name": "last_hidden_state"}
    if reading != expected or first.module_output_name != "token_embeddings":
        raise UserError(
            f"a model in {side.folder} whose last hidden states are pooled",
            f"texts read by {reading}",
            "Use another model.",
        )
