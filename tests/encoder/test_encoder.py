"""Tests of the encoder: loading, tokens, embeddings, packing, mini-batches, saving."""

import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from torch import Tensor

from hr_retrieval.encoder.encoder import Encoder, Precision
from hr_retrieval.encoder.ragged import Ragged
from hr_retrieval.encoder.tiny import Architecture, write_tiny
from hr_retrieval.errors import UserError
from tests.encoder.conftest import reference

TEXTS = [
    "Software engineer (m/w/d)",
    "Повар-кондитер 5 разряда",
    "nurse",
    "Senior accountant, accounts payable; reports to the head of finance",
    "Водитель категории C",
    "cook",
    "HR",
]
PACKED: list[Architecture] = ["bert", "roberta", "xlm-roberta", "distilbert"]
ALL: list[Architecture] = [*PACKED, "mpnet"]
ENCODER = Encoder("tiny")


def gradients(encoder: Encoder, tokens: Ragged, mini_batch: int | None = None) -> dict[str, Tensor]:
    encoder.zero_grad()
    embeddings = encoder(tokens, mini_batch=mini_batch)
    weights = torch.linspace(-1, 1, embeddings.numel()).view_as(embeddings)
    (embeddings * weights).sum().backward()
    return {name: parameter.grad for name, parameter in encoder.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("architecture", ALL)
def test_embeddings_are_those_of_sentence_transformers(
    folder: Callable[[Architecture], Path], architecture: Architecture
) -> None:
    embeddings = Encoder(str(folder(architecture))).encode(TEXTS, "query")
    torch.testing.assert_close(embeddings, reference(folder(architecture), TEXTS), atol=1e-5, rtol=0)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(len(TEXTS)))


@pytest.mark.parametrize("architecture", PACKED)
def test_packed_equals_padded(folder: Callable[[Architecture], Path], architecture: Architecture) -> None:
    packed, padded = (Encoder(str(folder(architecture)), packing=choice) for choice in (True, False))
    assert packed.token_vectors.packed
    assert not padded.token_vectors.packed
    tokens, _ = packed.tokenise(TEXTS, "document")
    torch.testing.assert_close(packed(tokens), padded(tokens), atol=1e-5, rtol=0)
    found, expected = gradients(packed, tokens), gradients(padded, tokens)
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize("packing", [None, True, False])
def test_a_new_encoder_is_in_training_mode_as_any_module(packing: bool | None) -> None:
    encoder = Encoder("tiny", dropout=0.5, packing=packing)
    assert all(module.training for module in encoder.modules())
    tokens, _ = encoder.tokenise(TEXTS, "query")
    assert not torch.equal(encoder(tokens), encoder(tokens))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_a_text_does_not_see_its_batch(lengths: list[int], random: object) -> None:
    generator = torch.Generator().manual_seed(sum(lengths))
    tokens = Ragged.from_lengths(torch.randint(10, 200, (sum(lengths),), generator=generator), torch.tensor(lengths))
    with torch.inference_mode():
        together = ENCODER(tokens)
        alone = torch.cat([ENCODER(tokens.take(torch.tensor([row]))) for row in range(len(lengths))])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_tokens_are_those_of_the_tokenizer(folder: Callable[[Architecture], Path]) -> None:
    encoder = Encoder(str(folder("bert")), max_length=20, query_prefix="query: ")
    library = SentenceTransformer(str(folder("bert")), device="cpu").tokenizer
    for kind, prefix in (("query", "query: "), ("document", "")):
        tokens, cut = encoder.tokenise(TEXTS, kind)
        expected = [library(prefix + text, truncation=True, max_length=20).input_ids for text in TEXTS]
        whole = [library(prefix + text).input_ids for text in TEXTS]
        assert tokens.offsets.tolist() == np.cumsum([0, *map(len, expected)]).tolist()
        assert tokens.ids.tolist() == [token for row in expected for token in row]
        assert cut == sum(len(row) > 20 for row in whole)
    exact = "a" * 18
    assert encoder.tokenise([exact, exact + "a"], "document")[1] == 1
    empty, cut = encoder.tokenise([], "query")
    assert (len(empty), cut) == (0, 0)


def test_prefixes_change_their_kind_only(folder: Callable[[Architecture], Path]) -> None:
    plain, prefixed = Encoder("tiny"), Encoder("tiny", document_prefix="passage: ")
    assert torch.equal(plain.encode(TEXTS, "query"), prefixed.encode(TEXTS, "query"))
    assert not torch.allclose(plain.encode(TEXTS, "document"), prefixed.encode(TEXTS, "document"), atol=1e-3)


def test_dimensions_truncate_and_renormalise() -> None:
    short, full = Encoder("tiny", dimensions=16).encode(TEXTS, "query"), ENCODER.encode(TEXTS, "query")
    expected = full[:, :16] / full[:, :16].norm(dim=1, keepdim=True)
    torch.testing.assert_close(short, expected)


def test_dense_layers_are_run_and_trained(tmp_path: Path) -> None:
    write_tiny(tmp_path / "dense", dense=24)
    encoder = Encoder(str(tmp_path / "dense"))
    assert encoder.embedding_dimension == 24
    torch.testing.assert_close(encoder.encode(TEXTS, "query"), reference(tmp_path / "dense", TEXTS), atol=1e-5, rtol=0)
    assert "projections.0.linear.weight" in gradients(encoder, encoder.tokenise(TEXTS, "query")[0])


def test_dropout_is_the_option_and_not_the_folders() -> None:
    tokens, _ = ENCODER.tokenise(TEXTS, "query")
    still, noisy = Encoder("tiny").train(), Encoder("tiny", dropout=0.3).train()
    assert torch.equal(still(tokens), still(tokens))
    assert not torch.allclose(noisy(tokens), noisy(tokens), atol=1e-3)
    assert torch.equal(noisy.eval()(tokens), still.eval()(tokens))


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("mini_batch", [1, 3])
def test_mini_batches_have_the_gradient_of_the_whole(packing: bool, mini_batch: int) -> None:
    encoder = Encoder("tiny", packing=packing)
    tokens, _ = encoder.tokenise(TEXTS, "query")
    expected, found = gradients(encoder, tokens), gradients(encoder, tokens, mini_batch)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], atol=1e-4, rtol=1e-3, msg=name)


def test_mini_batches_keep_less_for_the_backward_pass() -> None:
    tokens, _ = ENCODER.tokenise(TEXTS, "query")

    def kept(mini_batch: int | None) -> int:
        sizes: list[int] = []

        def pack(tensor: Tensor) -> Tensor:
            sizes.append(tensor.numel() if tensor.is_floating_point() else 0)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            ENCODER(tokens, mini_batch=mini_batch)
        return sum(sizes)

    assert kept(2) < kept(None) / 10


def test_mini_batches_repeat_their_dropout() -> None:
    encoder = Encoder("tiny", dropout=0.2).train()
    tokens, _ = encoder.tokenise(TEXTS, "query")

    def run(mini_batch: int) -> dict[str, Tensor]:
        torch.manual_seed(3)
        return gradients(encoder, tokens, mini_batch)

    first, second = run(2), run(2)
    assert all(torch.equal(first[name], second[name]) for name in first)
    # With a mask drawn anew in the backward pass the gradient would not be that of the loss:
    # compare with plain chunks.
    torch.manual_seed(3)
    encoder.zero_grad()
    embeddings = torch.cat([encoder(tokens.take(rows)) for rows in torch.arange(len(TEXTS)).split(2)])
    (embeddings * torch.linspace(-1, 1, embeddings.numel()).view_as(embeddings)).sum().backward()
    for name, parameter in encoder.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(first[name], parameter.grad, msg=name)


def test_mini_batch_below_one_is_refused() -> None:
    with pytest.raises(UserError):
        ENCODER(ENCODER.tokenise(TEXTS, "query")[0], mini_batch=0)


def test_no_texts_and_empty_texts() -> None:
    assert ENCODER.encode([], "query").shape == (0, 64)
    assert ENCODER(Ragged.from_lists([])).shape == (0, 64)
    with pytest.raises(UserError, match="without tokens"):
        ENCODER(Ragged.from_lists([[5], []]))
    assert ENCODER.encode([""], "query").isfinite().all()


@pytest.mark.parametrize("batch_tokens", [1, 40, 100_000])
def test_encode_keeps_order_mode_and_values_for_any_budget(batch_tokens: int) -> None:
    encoder = Encoder("tiny", dropout=0.5).train()
    embeddings = encoder.encode(TEXTS, "document", batch_tokens=batch_tokens)
    torch.testing.assert_close(embeddings, ENCODER.encode(TEXTS, "document"), atol=1e-5, rtol=0)
    assert encoder.training
    assert not embeddings.is_inference()


@pytest.fixture
def three_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads enough, and texts enough for each."""
    monkeypatch.setattr("hr_retrieval.encoder.encoder._PART_TOKENS", 20)
    monkeypatch.setattr("hr_retrieval.encoder.encoder._LEAST_TOKENS", 20)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_thread_for_each_part_gives_what_one_call_gives(
    monkeypatch: pytest.MonkeyPatch, precision: Precision
) -> None:
    torch.set_num_threads(1)
    expected = ENCODER.encode(TEXTS, "document", precision=precision)
    torch.set_num_threads(3)
    calls: list[int] = []
    embed = ENCODER._embed
    monkeypatch.setattr(ENCODER, "_embed", lambda tokens: calls.append(threading.get_ident()) or embed(tokens))
    found = ENCODER.encode(TEXTS, "document", precision=precision)
    assert len(calls) > 3
    assert threading.get_ident() not in calls
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("architecture", PACKED)
def test_a_graph_for_each_thread_gives_what_one_graph_gives(
    folder: Callable[[Architecture], Path], monkeypatch: pytest.MonkeyPatch, architecture: Architecture
) -> None:
    encoder = Encoder(str(folder(architecture))).train()
    tokens, _ = encoder.tokenise(TEXTS, "document")
    seen: list[int] = []
    vectors, packed = encoder.token_vectors, encoder.token_vectors.from_words
    monkeypatch.setattr(vectors, "from_words", lambda *given: seen.append(threading.get_ident()) or packed(*given))
    found, embeddings = gradients(encoder, tokens), encoder(tokens)
    assert len(seen) == 6
    assert threading.get_ident() not in seen
    again = gradients(encoder, tokens)
    assert all(torch.equal(again[name], found[name]) for name in found)
    torch.set_num_threads(1)
    expected = gradients(encoder, tokens)
    torch.testing.assert_close(embeddings, encoder(tokens), atol=1e-5, rtol=0)
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], atol=1e-5, rtol=1e-3, msg=name)


@pytest.mark.usefixtures("three_threads")
def test_dense_layers_and_frozen_weights_in_threads(tmp_path: Path) -> None:
    write_tiny(tmp_path / "dense", dense=24)
    encoder = Encoder(str(tmp_path / "dense"))
    encoder.transformer.get_input_embeddings().requires_grad_(False)
    tokens, _ = encoder.tokenise(TEXTS, "query")
    found = gradients(encoder, tokens)
    torch.set_num_threads(1)
    expected = gradients(encoder, tokens)
    assert found.keys() == expected.keys()
    assert "projections.0.linear.weight" in found
    assert not [name for name in found if "word_embeddings" in name]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-3)
    encoder.requires_grad_(False)
    assert not encoder(tokens).requires_grad


@pytest.mark.usefixtures("three_threads")
def test_one_graph_where_threads_would_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, _ = ENCODER.tokenise(TEXTS, "document")
    monkeypatch.setattr("hr_retrieval.encoder.encoder.in_threads", lambda *given: pytest.fail("in threads"))
    monkeypatch.setattr("hr_retrieval.encoder.cpu.threads.in_threads", lambda *given: pytest.fail("in threads"))
    # The random numbers of dropout would fall in any order; padding; too little to do.
    assert Encoder("tiny", dropout=0.1)(tokens).requires_grad
    assert Encoder("tiny", packing=False)(tokens).requires_grad
    assert ENCODER(tokens.take(torch.tensor([2]))).requires_grad
    with pytest.raises(UserError, match="without tokens"):
        ENCODER(Ragged.from_lists([[5] * 50, []]))
    # Processes that share weights have to ask for them in one order.
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    assert ENCODER(tokens).requires_grad
    with torch.no_grad():
        ENCODER(tokens)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(1, 20), st.integers(1, 400))
def test_each_thread_is_dealt_as_much(lengths: list[int], threads: int, least: int) -> None:
    tensor = torch.tensor(lengths)
    with patch("hr_retrieval.encoder.encoder._LEAST_TOKENS", least), patch.object(ENCODER, "_threads", lambda: threads):
        parts = ENCODER._dealt(tensor)
    assert len(parts) == min(threads, 4, sum(lengths) // least, len(lengths))
    if parts:
        assert sorted(torch.cat(parts).tolist()) == list(range(len(lengths)))
        sums = [int(tensor[rows].sum()) for rows in parts]
        assert max(sums) - min(sums) <= max(lengths)
        assert all(torch.equal(tensor[rows], tensor[rows].sort().values) for rows in parts)


@pytest.mark.parametrize("architecture", ALL)
def test_bf16_is_close_and_not_the_same(folder: Callable[[Architecture], Path], architecture: Architecture) -> None:
    encoder = Encoder(str(folder(architecture)))
    exact, rounded = encoder.encode(TEXTS, "query"), encoder.encode(TEXTS, "query", precision="bf16")
    assert rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    assert (exact * rounded).sum(1).min() > 0.9999


def test_fingerprint_follows_what_tokens_depend_on(folder: Callable[[Architecture], Path]) -> None:
    assert Encoder("tiny").fingerprint == ENCODER.fingerprint
    assert Encoder("tiny", dropout=0.1, pooling="cls").fingerprint == ENCODER.fingerprint
    others = [
        Encoder("tiny", max_length=50),
        Encoder("tiny", query_prefix="q"),
        Encoder("tiny", document_prefix="q"),
        Encoder(str(folder("roberta"))),
    ]
    assert len({encoder.fingerprint for encoder in [ENCODER, *others]}) == 5


def test_state_dict_names_each_weight_once_and_the_pooler_is_frozen() -> None:
    names = list(ENCODER.state_dict())
    assert all(name.startswith("transformer.") for name in names)
    frozen = {name for name, parameter in ENCODER.named_parameters() if not parameter.requires_grad}
    assert frozen == {"transformer.pooler.dense.weight", "transformer.pooler.dense.bias"}
    assert gradients(ENCODER, ENCODER.tokenise(TEXTS, "query")[0]).keys() == set(names) - frozen


@pytest.mark.parametrize("architecture", ALL)
def test_saved_folder_gives_the_same_embeddings(
    folder: Callable[[Architecture], Path], tmp_path: Path, architecture: Architecture
) -> None:
    encoder = Encoder(
        str(folder(architecture)), "cls", max_length=30, query_prefix="query: ", document_prefix="text: ", dimensions=24
    )
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)), alpha=0.01)
    encoder.save(tmp_path / "saved", files={"README.md": "# A card\n"})
    again = Encoder(str(tmp_path / "saved"))
    library = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    assert (again.pooling, again.max_length, again.dimensions) == ("cls", 30, 24)
    assert (again.prefixes, library.max_seq_length) == (encoder.prefixes, 30)
    for kind, encode in (("query", library.encode_query), ("document", library.encode_document)):
        expected = encoder.encode(TEXTS, kind)
        torch.testing.assert_close(again.encode(TEXTS, kind), expected, atol=1e-5, rtol=0)
        # With their lengths: a cosine would not tell.
        torch.testing.assert_close(encode(TEXTS, convert_to_tensor=True), expected, atol=1e-5, rtol=0)
    files = {path.suffix for path in (tmp_path / "saved").rglob("*") if path.is_file()}
    assert files <= {".json", ".safetensors", ".txt", ".md"}
    assert (tmp_path / "saved" / "README.md").read_text() == "# A card\n"
    assert "hr_retrieval" not in (tmp_path / "saved" / "config.json").read_text()


@pytest.mark.parametrize("dimensions", [None, 8, 24])
def test_dense_layers_are_saved(tmp_path: Path, dimensions: int | None) -> None:
    write_tiny(tmp_path / "dense", dense=24)
    encoder = Encoder(str(tmp_path / "dense"), dimensions=dimensions)
    with torch.no_grad():
        encoder.projections[0].linear.weight.mul_(-1)
    encoder.save(tmp_path / "saved")
    expected = encoder.encode(TEXTS, "query")
    torch.testing.assert_close(reference(tmp_path / "saved", TEXTS), expected, atol=1e-5, rtol=0)
    again = Encoder(str(tmp_path / "saved"))
    assert torch.equal(again.encode(TEXTS, "query"), expected)
    # The picked dimensions are no layer that is trained, and can be chosen anew.
    assert again.state_dict().keys() == encoder.state_dict().keys()
    assert Encoder(str(tmp_path / "saved"), dimensions=4).embedding_dimension == 4
    again.save(tmp_path / "twice")
    assert (tmp_path / "twice" / "modules.json").read_text() == (tmp_path / "saved" / "modules.json").read_text()


def test_saving_over_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="new or empty"):
        ENCODER.save(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_compiling_in_place_keeps_the_checkpoint_names() -> None:
    encoder = Encoder("tiny")
    names = list(encoder.state_dict())
    encoder.transformer.compile(backend="eager")
    assert list(encoder.state_dict()) == names


@pytest.mark.parametrize("mini_batch", [None, 2])
def test_lengths_are_known_without_the_device(mini_batch: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that holds no numbers can be asked for none, forward and backward: a GPU would make the CPU wait."""
    # There is none for that device.
    monkeypatch.setattr(torch, "autocast", lambda *given, **named: nullcontext())
    encoder = Encoder("tiny", packing=True)
    tokens = encoder.tokenise(TEXTS, "query")[0].to("meta")
    assert (tokens.ids.device.type, tokens.offsets.device.type) == ("meta", "cpu")
    embeddings = encoder.to("meta")(tokens, mini_batch)
    assert (embeddings.device.type, embeddings.shape) == ("meta", (len(TEXTS), encoder.embedding_dimension))
    embeddings.sum().backward()
