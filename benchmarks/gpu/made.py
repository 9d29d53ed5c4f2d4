"""What the measurements work on, made on the spot: sizes, an encoder with random weights, texts, a
prepared data set.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoModel, PreTrainedTokenizerFast, XLMRobertaConfig

from hr_retrieval.encoder.quiet import quiet
from hr_retrieval.files import whole_folder
from hr_retrieval.prepare.columns import Columns
from hr_retrieval.prepare.preparation import Preparation
from hr_retrieval.prepare.readers.parquet import ParquetReader

LENGTH = 128
# The multilingual mpnet's, whose architecture is that of XLM-R.
MULTILINGUAL = 250_002
_SPECIALS = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        hidden, layers, heads, vocabulary: of the encoder; its inner width is four times `hidden`.
        batch: pairs a step.
        steps: a timed call.
        rounds: timed calls of each rival.
        texts: encoded.
        queries, documents, dimension: of the full-rank evaluation.
    """

    hidden: int
    layers: int
    heads: int
    vocabulary: int
    batch: int
    steps: int
    rounds: int
    texts: int
    queries: int
    documents: int
    dimension: int


FULL = Size(768, 12, 12, 30_527, 256, 20, 5, 50_000, 2_000, 1_000_000, 768)
SMALL = Size(32, 2, 4, 300, 4, 2, 3, 64, 20, 300, 16)


def write_encoder(folder: Path, size: Size, vocabulary: int | None = None) -> None:
    """Write an encoder of this size with random weights and without dropout, each word of `words` one token of it."""
    known = words(vocabulary or size.vocabulary)
    numbers = {word: number for number, word in enumerate([*_SPECIALS.values(), *known])}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token=_SPECIALS["unk"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    begin, end = ((_SPECIALS[name], numbers[_SPECIALS[name]]) for name in ("cls", "sep"))
    tokenizer.post_processor = processors.BertProcessing(end, begin)
    names = {f"{name}_token": token for name, token in _SPECIALS.items()}
    config = XLMRobertaConfig(
        vocab_size=len(numbers),
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=4 * size.hidden,
        max_position_embeddings=LENGTH + 2,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=1,
    )
    torch.manual_seed(0)
    with quiet(), whole_folder(folder) as partial:
        plain = str(partial / "plain")
        AutoModel.from_config(config).save_pretrained(plain)
        wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=LENGTH, **names)
        wrapped.save_pretrained(plain)
        modules = [Transformer(plain, max_seq_length=LENGTH), Pooling(size.hidden, "mean"), Normalize()]
        SentenceTransformer(modules=modules, device="cpu").save_pretrained(
            str(partial / "encoder"), create_model_card=False
        )


def words(vocabulary: int) -> list[str]:
    """The words of such an encoder."""
    count = vocabulary - len(_SPECIALS)
    return ["".join(_LETTERS[number // 26**place % 26] for place in range(5)) for number in range(count)]


def mixed_texts(vocabulary: int, count: int, typical: float, seed: int) -> list[str]:
    """Texts of one word to what `LENGTH` leaves room for, half of them below `typical` words."""
    generator, known = np.random.default_rng(seed), np.array(words(vocabulary))
    lengths = generator.lognormal(np.log(typical), 0.6, count).round().clip(1, LENGTH - 2).astype(int)
    return [" ".join(known[generator.integers(0, len(known), length)]) for length in lengths]


def pairs(size: Size, count: int, vocabulary: int | None = None) -> tuple[list[str], list[str]]:
    """Titles, half of them below 8 words, and descriptions, half of them below 60."""
    known = vocabulary or size.vocabulary
    return mixed_texts(known, count, 8, seed=1), mixed_texts(known, count, 60, seed=2)


def prepare_data(folder: Path, size: Size, count: int) -> Path:
    """A prepared data set of such pairs."""
    titles, descriptions = pairs(size, count)
    pq.write_table(pa.table({"title": titles, "description": descriptions}), folder / "pairs.parquet")
    columns: Any = Columns(anchor="title", positive="description")
    Preparation(ParquetReader(str(folder / "pairs.parquet")), str(folder / "data"), "made", columns=columns).run()
    return folder / "data"
