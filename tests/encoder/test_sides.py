"""Tests of folders with other modules and with two sides, before and after saving."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    LayerNorm,
    Normalize,
    Pooling,
    StaticEmbedding,
    WeightedLayerPooling,
)
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.graph import write_graph
from hr_retrieval.encoder.parts import PartTokens, encode_parts
from hr_retrieval.encoder.tiny import Architecture
from hr_retrieval.encoder.wording import KINDS
from hr_retrieval.errors import UserError

TEXTS = ["Software engineer (m/w/d)", "Повар-кондитер 5 разряда", "HR", "nurse of the night shift"]
QUERY, DOCUMENT = KINDS


def reader(folder: Path) -> list[Any]:
    """A transformer and mean pooling."""
    return list(SentenceTransformer(str(folder), device="cpu"))[:2]


def table(folder: Path) -> StaticEmbedding:
    return StaticEmbedding(Tokenizer.from_file(str(folder / "tokenizer.json")), embedding_dim=64)


def heads(folder: Path) -> list[Any]:
    routes = {"anchor": [Dense(64, 24)], "positive": [LayerNorm(64), Dense(64, 24)]}
    return [*reader(folder), Router(routes, default_route="positive")]


def shared(folder: Path) -> list[Any]:
    own, norm = reader(folder), LayerNorm(24)
    routes = [*own, Dense(64, 24), norm], [*own, Dense(64, 24), norm]
    return [Router.for_query_document(*routes), Normalize()]


def poolings(folder: Path) -> list[Any]:
    transformer, mean = reader(folder)
    return [Router.for_query_document([transformer, Pooling(64, "cls")], [transformer, mean]), Normalize()]


def static(folder: Path) -> list[Any]:
    return [Router.for_query_document([table(folder)], reader(folder)), LayerNorm(64)]


def layers(folder: Path) -> list[Any]:
    transformer, mean = reader(folder)
    transformer.auto_model.config.output_hidden_states = True
    mixed = WeightedLayerPooling(64, num_hidden_layers=2, layer_start=1)
    torch.nn.init.uniform_(mixed.layer_weights)
    return [transformer, mixed, mean]


MADE: dict[str, Callable[[Path], list[Any]]] = {
    "one head each": heads,
    "a shared transformer": shared,
    "a pooling each": poolings,
    "a table of words for queries": static,
    "a table of words": lambda folder: [table(folder), Dense(64, 24)],
    "several layers": layers,
    "several poolings": lambda folder: [
        reader(folder)[0],
        Pooling(64, ("mean", "cls")),
        LayerNorm(128),
        Dense(128, 24),
    ],
    "flags of poolings": lambda folder: [reader(folder)[0], Pooling(64, ("cls", "max", "mean_sqrt_len_tokens"))],
    "places weighted": lambda folder: [reader(folder)[0], Pooling(64, "weightedmean")],
}
ONE_SIDED = {
    name for name in MADE if name in ("a table of words", "several layers", "places weighted") or "poolings" in name
}


@pytest.fixture(scope="module")
def made(folder: Callable[[Architecture], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("made")

    def of(name: str) -> Path:
        path = root / name.replace(" ", "_")
        if not path.exists():
            torch.manual_seed(1)
            model = SentenceTransformer(modules=MADE[name](folder("bert")), device="cpu")
            model.save_pretrained(str(path), create_model_card=False)
        return path

    return of


def vectors(folder: Path, tasks: tuple[str | None, ...] = KINDS) -> list[Tensor]:
    """What sentence-transformers makes of the texts on each side."""
    model = SentenceTransformer(str(folder), device="cpu")
    return [F.normalize(model.encode(TEXTS, task=task, convert_to_tensor=True), dim=1) for task in tasks]


@pytest.mark.parametrize("name", MADE)
def test_both_sides_have_the_vectors_of_the_library(made: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    encoder = Encoder(str(made(name)))
    assert encoder.two_sided == (name not in ONE_SIDED)
    tasks = ("anchor", "positive") if name == "one head each" else KINDS
    expected = vectors(made(name), tasks)
    assert torch.allclose(*expected, atol=1e-2) == (name in ONE_SIDED)
    encoder.save(tmp_path / "saved")
    again, saved = Encoder(str(tmp_path / "saved")), vectors(tmp_path / "saved")
    for kind, own, written in zip(KINDS, expected, saved, strict=True):
        torch.testing.assert_close(encoder.encode(TEXTS, kind), own, atol=1e-5, rtol=0)
        torch.testing.assert_close(again.encode(TEXTS, kind), own, atol=1e-5, rtol=0)
        torch.testing.assert_close(written, own, atol=1e-5, rtol=0)
        tokens = PartTokens.of(encoder, encoder.encodings(TEXTS, kind), [[]] * len(TEXTS), kind)
        torch.testing.assert_close(encode_parts(encoder, tokens)[0], own, atol=1e-5, rtol=0)
    # Texts of both kinds in one batch, in any order, whole or in parts, each on its own side.
    tokens = encoder.tokenise(TEXTS, QUERY)[0].concatenate(encoder.tokenise(TEXTS, DOCUMENT)[0])
    rows = torch.tensor([5, 0, 3, 6, 2, 7])
    with torch.no_grad():
        for mini_batch in (None, 2):
            found = encoder(tokens.take(rows), mini_batch)
            torch.testing.assert_close(found, torch.cat(expected)[rows], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["one head each", "a table of words for queries", "several layers"])
def test_each_weight_that_a_side_has_is_trained(made: Callable[[str], Path], name: str) -> None:
    encoder = Encoder(str(made(name)))
    tokens = encoder.tokenise(TEXTS, QUERY)[0].concatenate(encoder.tokenise(TEXTS, DOCUMENT)[0])
    encoder(tokens).prod(dim=1).sum().backward()
    idle = [name for name, weight in encoder.named_parameters() if weight.requires_grad and weight.grad is None]
    assert idle == []


def test_threads_embed_each_text_on_its_side(made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder(str(made("one head each")))
    tokens = encoder.tokenise(TEXTS * 8, QUERY)[0].concatenate(encoder.tokenise(TEXTS * 8, DOCUMENT)[0])
    upstream = torch.linspace(-1, 1, 24)

    def gradients() -> list[Tensor]:
        weights = [weight for weight in encoder.parameters() if weight.requires_grad]
        return list(torch.autograd.grad((encoder(tokens) @ upstream).sum(), weights))

    expected = gradients()
    monkeypatch.setattr(Encoder, "_threads", lambda self: 2)
    for one, other in zip(gradients(), expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_shared_heads_are_those_of_the_queries(made: Callable[[str], Path]) -> None:
    encoder = Encoder(str(made("one head each")), heads="shared")
    assert not encoder.two_sided
    (expected,) = vectors(made("one head each"), ("anchor",))
    for kind in KINDS:
        torch.testing.assert_close(encoder.encode(TEXTS, kind), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["a table of words", "places weighted", "a shared transformer"])
def test_separate_heads_begin_as_the_folder_is(made: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    plain, encoder = Encoder(str(made(name))), Encoder(str(made(name)), heads="separate")
    own = {kind: encoder.heads[kind] for kind in KINDS}
    assert encoder.two_sided
    assert not {id(weight) for weight in own[QUERY].parameters()} & {
        id(weight) for weight in own[DOCUMENT].parameters()
    }
    for kind in KINDS:
        torch.testing.assert_close(encoder.encode(TEXTS, kind), plain.encode(TEXTS, kind))
    with torch.no_grad():
        own[DOCUMENT][0].linear.weight.neg_()
    encoder.save(tmp_path / "saved")
    assert not torch.allclose(encoder.encode(TEXTS, DOCUMENT), plain.encode(TEXTS, DOCUMENT), atol=1e-2)
    for kind, saved in zip(KINDS, vectors(tmp_path / "saved"), strict=True):
        torch.testing.assert_close(encoder.encode(TEXTS, kind), saved, atol=1e-5, rtol=0)
    assert Encoder(str(tmp_path / "saved")).embedding_fingerprint() != plain.embedding_fingerprint()


def test_the_spelling_of_older_versions_is_read(made: Callable[[str], Path], tmp_path: Path) -> None:
    encoder = Encoder(str(made("one head each")))
    encoder.save(tmp_path / "saved")
    place = tmp_path / "saved" / "2_Router"
    content = json.loads((place / "router_config.json").read_text())
    assert set(content["types"].values()) == {f"sentence_transformers.models.{name}" for name in ("Dense", "LayerNorm")}
    assert "route_mappings" not in content["parameters"]
    content["types"] = {name: f"{kind}.{kind.rsplit('.', 1)[1]}" for name, kind in content["types"].items()}
    (place / "config.json").write_text(json.dumps(content))
    (place / "router_config.json").unlink()
    listed = (tmp_path / "saved" / "modules.json").read_text()
    (tmp_path / "saved" / "modules.json").write_text(listed.replace("models.Router", "models.Asym"))
    again = Encoder(str(tmp_path / "saved"))
    for kind in KINDS:
        torch.testing.assert_close(again.encode(TEXTS, kind), encoder.encode(TEXTS, kind))


def test_an_empty_text_has_no_words(made: Callable[[str], Path]) -> None:
    found = Encoder(str(made("a table of words"))).encode(["", "a"], QUERY)
    assert found.isfinite().all()


@pytest.mark.parametrize(("options", "count"), [({}, 42), ({"max_length": 5}, 5)])
def test_a_table_of_words_is_read_to_any_length(
    made: Callable[[str], Path], tmp_path: Path, options: dict[str, Any], count: int
) -> None:
    encoder = Encoder(str(made("a table of words")), **options)
    assert len(encoder.tokenise(["a" * 42], QUERY)[0].ids) == count
    encoder.save(tmp_path / "saved")
    assert len(Encoder(str(tmp_path / "saved")).tokenise(["a" * 42], QUERY)[0].ids) == count


def broken(folder: Path, tmp_path: Path, **routes: list[Any]) -> str:
    SentenceTransformer(modules=[*reader(folder), Router(routes)], device="cpu").save_pretrained(
        str(tmp_path / "broken"), create_model_card=False
    )
    return str(tmp_path / "broken")


@pytest.mark.parametrize(
    ("routes", "said"),
    [
        ({"left": 24, "right": 24}, "left, right"),
        ({"query": 24, "document": 24, "image": 24}, "query, document, image"),
        ({"query": 24, "document": 16}, "24 numbers of queries and 16 of documents"),
    ],
)
def test_routes_that_are_no_two_sides_are_refused(
    folder: Callable[[Architecture], Path], tmp_path: Path, routes: dict[str, int], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        Encoder(broken(folder("bert"), tmp_path, **{name: [Dense(64, width)] for name, width in routes.items()}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: {**content, "types": {**content["types"], "x": "os.system"}, "structure": {"query": ["x"]}}, "os.system"),
        (lambda content: {**content, "types": {"../x": next(iter(content["types"].values()))}, "structure": {"query": ["../x"]}}, "out of itself"),
        (lambda content: {"types": content["types"]}, "types and structure"),
        (lambda content: {**content, "structure": {}}, "routes of a router"),
    ],
)  # fmt: skip
def test_a_router_leads_nowhere_else(
    folder: Callable[[Architecture], Path], tmp_path: Path, change: Callable[[Any], Any], said: str
) -> None:
    path = Path(broken(folder("bert"), tmp_path, query=[Dense(64, 8)], document=[Dense(64, 8)]))
    config = path / "2_Router" / "router_config.json"
    config.write_text(json.dumps(change(json.loads(config.read_text()))))
    with pytest.raises(UserError, match=said):
        Encoder(str(path))


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("one head each", {"heads": "both"}, "shared, separate or null"),
        ("several poolings", {"pooling": "mean"}, "128 numbers, as the LayerNorm"),
        ("a table of words", {"pooling": "cls"}, "the pooling mean"),
        ("a table of words", {"max_length": 0}, "at least 1"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    made: Callable[[str], Path], name: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        Encoder(str(made(name)), **options)


def test_an_encoder_with_two_sides_asks_which_is_meant(made: Callable[[str], Path], tmp_path: Path) -> None:
    encoder = Encoder(str(made("one head each")))
    tokens, _ = encoder.tokenise(TEXTS, QUERY)
    with pytest.raises(UserError, match="which are queries"):
        encoder(type(tokens)(tokens.ids, tokens.offsets))
    with pytest.raises(UserError, match="a side for each"):
        write_graph(encoder, tmp_path)
