"""Vectors of parts are means of the tokens' vectors within the text; those of the texts are the encoder's own."""

from pathlib import Path

import pytest
import torch
from tokenizers import Encoding

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.parts import PartTokens, encode_parts, whole_passages
from hr_retrieval.encoder.tiny import write_tiny
from hr_retrieval.encoder.tokenizer import FolderTokenizer

TEXTS = ["welder here. водитель там", "cook", "", "x" * 200 + " end", "nurse. " * 3]


def parts_of(text: str) -> list[tuple[int, int]]:
    gap = text.find(" ")
    return [(0, gap), (gap + 1, len(text))] if gap > 0 else [(0, len(text))]


@pytest.mark.parametrize(("dense", "prompts"), [(None, None), (24, {"document": "doc: "})])
def test_parts_are_means_of_tokens_in_their_text(
    tmp_path: Path, dense: int | None, prompts: dict[str, str] | None
) -> None:
    write_tiny(tmp_path / "tiny", dense=dense, prompts=prompts, layers=1)
    encoder = Encoder(str(tmp_path / "tiny")).eval()
    tokens = PartTokens.of(
        encoder, encoder.encodings(TEXTS, "document"), [parts_of(text) for text in TEXTS], "document"
    )
    whole, found = encode_parts(encoder, tokens)
    torch.testing.assert_close(whole, encoder.encode(TEXTS, "document"), atol=1e-5, rtol=0)
    for text, own in zip(TEXTS, found, strict=True):
        # A token of the tiny encoder is a letter: tokens and letters are counted one by one.
        tokens, _ = encoder.tokenise([text], "document")
        with torch.inference_mode():
            hidden = encoder.token_vectors(tokens, tokens.lengths.tolist())
            before = len(encoder.prefixes["document"].replace(" ", ""))
            for (begin, end), vector in zip(parts_of(text), own, strict=True):
                letters = [sum(not letter.isspace() for letter in text[:place]) for place in (begin, end)]
                first, last = (min(1 + before + count, int(tokens.lengths[0]) - 1) for count in letters)
                expected = torch.zeros_like(vector)
                if first < last:
                    expected = encoder.finished(hidden[first:last].mean(dim=0, keepdim=True))[0]
                torch.testing.assert_close(vector, expected, atol=1e-5, rtol=0)


def test_no_texts_have_no_vectors() -> None:
    encoder = Encoder("tiny").eval()
    whole, found = encode_parts(encoder, PartTokens.of(encoder, [], [], "query"))
    assert (len(whole), found) == (0, [])


@pytest.mark.parametrize("prompts", [None, {"document": "doc: "}])
@pytest.mark.parametrize("overlap", [None, 0, 8])
def test_what_is_read_whole_is_tokenised_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prompts: dict[str, str] | None, overlap: int | None
) -> None:
    write_tiny(tmp_path / "tiny", prompts=prompts)
    encoder = Encoder(str(tmp_path / "tiny"))
    texts = [*TEXTS, "welder " * 40, "short"]
    whole = [[(0, len(text))] for text in texts]
    expected = whole if overlap is None else encoder.passages(texts, "document", overlap)
    pieces = [text[begin:end] for text, own in zip(texts, expected, strict=True) for begin, end in own]
    ids = [own.ids for own in encoder.encodings(pieces, "document")]
    tokenised: list[str] = []
    encodings = FolderTokenizer.encodings

    def counting(self: FolderTokenizer, worded: list[str]) -> list[Encoding]:
        tokenised.extend(worded)
        return encodings(self, worded)

    monkeypatch.setattr(FolderTokenizer, "encodings", counting)
    spans, found = whole_passages(encoder, texts, "document", overlap)
    assert spans == expected
    assert [own.ids for own in found] == ids
    assert len(tokenised) == len(texts) + sum(len(own) for own in spans if len(own) > 1)
