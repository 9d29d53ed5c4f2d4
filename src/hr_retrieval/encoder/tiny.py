"""Small encoders with random weights, for tests and dry runs without a download."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoModel,
    BertConfig,
    DistilBertConfig,
    MPNetConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLMRobertaConfig,
)

from hr_retrieval.encoder.quiet import quiet
from hr_retrieval.files import whole_folder

Architecture = Literal["bert", "roberta", "xlm-roberta", "distilbert", "mpnet"]

_BERT_SPECIALS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
_ROBERTA_SPECIALS = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
_CHARACTERS = (
    "abcdefghijklmnopqrstuvwxyz"
    + "абвгдеёжзийклмнопрстуфхцчшщъыьэюя"
    + "0123456789"
    + "!\"#$%&'()*+,-./:;<=>?@[]_{|}~«»–—№"
)


def write_tiny(
    folder: Path,
    architecture: Architecture = "bert",
    seed: int = 0,
    hidden: int = 64,
    layers: int = 2,
    max_length: int = 128,
    pooling: str = "mean",
    dense: int | None = None,
    prompts: dict[str, str] | None = None,
) -> None:
    """Write an encoder with random weights in the Sentence Transformers layout.

    Its tokens are single lower-case characters (Latin, Cyrillic, digits, punctuation), at most
    `max_length` of them.

    Args:
        folder: a new or empty folder.
        seed: of the weights.
        hidden: width; a multiple of 4.
        pooling: a pooling of sentence-transformers.
        dense: width of a dense layer behind the pooling, as LaBSE has; None for no such layer.
        prompts: the folder's prompts.

    Raises:
        UserError: `folder` holds something.
    """
    specials = _BERT_SPECIALS if architecture in ("bert", "distilbert") else _ROBERTA_SPECIALS
    tokenizer = _tokenizer(specials, max_length)
    config = _config(architecture, len(tokenizer), hidden, layers, max_length)
    with quiet(), TemporaryDirectory() as plain, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        AutoModel.from_config(config).save_pretrained(plain)
        tokenizer.save_pretrained(plain)
        modules = [Transformer(plain), Pooling(hidden, pooling)]
        if dense is not None:
            modules.append(Dense(hidden, dense))
        model = SentenceTransformer(modules=[*modules, Normalize()], prompts=prompts, device="cpu")
    with quiet(), whole_folder(folder) as partial:
        model.save_pretrained(str(partial), create_model_card=False)


def _tokenizer(specials: dict[str, str], max_length: int) -> Any:
    words = [*specials.values(), *_CHARACTERS, *(f"##{character}" for character in _CHARACTERS)]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=specials["unk"], max_input_chars_per_word=1000))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    begin, end = ((specials[name], vocabulary[specials[name]]) for name in ("cls", "sep"))
    tokenizer.post_processor = processors.BertProcessing(end, begin)
    names = {f"{name}_token": token for name, token in specials.items()}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=max_length, **names)


def _config(architecture: Architecture, vocabulary: int, hidden: int, layers: int, max_length: int) -> Any:
    if architecture == "distilbert":
        return DistilBertConfig(
            vocab_size=vocabulary,
            max_position_embeddings=max_length,
            dim=hidden,
            n_layers=layers,
            n_heads=4,
            hidden_dim=2 * hidden,
            initializer_range=0.1,
            pad_token_id=0,
        )
    family = {"bert": BertConfig, "roberta": RobertaConfig, "xlm-roberta": XLMRobertaConfig, "mpnet": MPNetConfig}
    # In the RoBERTa family and in MPNet positions are counted from behind the padding token's
    # number, which is 1.
    reserved = 0 if architecture == "bert" else 2
    return family[architecture](
        vocab_size=vocabulary,
        max_position_embeddings=max_length + reserved,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=2 * hidden,
        initializer_range=0.1,
        pad_token_id=0 if architecture == "bert" else 1,
    )
