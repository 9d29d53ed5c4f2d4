"""Tests of the ids of a folder's tokenizer."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, normalizers

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.tiny import write_tiny
from hr_retrieval.errors import UserError
from tests.encoder.conftest import edit, reference

TEXTS = ["Software engineer (m/w/d)", "Повар-кондитер 5 разряда", "HR"]
ENCODER = Encoder("tiny")


def test_a_class_that_changes_the_ids_of_its_tokenizer_is_refused_with_what_helps(tmp_path: Path) -> None:
    write_tiny(tmp_path / "own")
    settings = tmp_path / "own" / "tokenizer_config.json"
    edit(settings, tokenizer_class="BertTokenizer")
    with pytest.raises(UserError, match="BertTokenizer") as caught:
        Encoder(str(tmp_path / "own"))
    assert '"tokenizer_class": "PreTrainedTokenizerFast"' in caught.value.remedy
    edit(settings, tokenizer_class="PreTrainedTokenizerFast")
    assert torch.equal(Encoder(str(tmp_path / "own")).encode(TEXTS, "query"), ENCODER.encode(TEXTS, "query"))


def test_lower_case_is_an_option_of_the_folder_and_no_other_tokenizer(tmp_path: Path) -> None:
    write_tiny(tmp_path / "own")
    path = tmp_path / "own" / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.save(str(path))
    edit(tmp_path / "own" / "sentence_bert_config.json", do_lower_case=True)
    encoder = Encoder(str(tmp_path / "own"))
    assert torch.equal(encoder.encode(TEXTS, "query"), ENCODER.encode(TEXTS, "query"))
    torch.testing.assert_close(encoder.encode(TEXTS, "query"), reference(tmp_path / "own", TEXTS), atol=1e-5, rtol=0)
