"""The guide's embeddings: made once for each guide and data set, whole or absent, looked up by rows."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.guidance import Ensemble, Guidance, guidance
from hr_retrieval.encoder.wording import Kind
from hr_retrieval.retrieval.mixing import Composition, Corpus, Side
from hr_retrieval.retrieval.mixing.documents import DocumentMixing
from hr_retrieval.retrieval.mixing.hubs import HubCorrection
from tests.conftest import write_toy_dataset


class Lengths:
    """A guide by the length of a text; it counts the texts that it reads and can break off."""

    fingerprint = "lengths"
    dimension = 2

    def __init__(self, breaks: bool = False, mixing: Composition | None = None) -> None:
        self.read = 0
        self.breaks = breaks
        self.mixing = mixing or Composition()

    def embed(self, blocks: Iterable[list[str]], kind: Kind) -> Iterator[npt.NDArray[np.float16]]:
        for block in blocks:
            for begin in range(0, len(block), 50):
                self.read += len(block[begin : begin + 50])
                yield np.array([self.vector(text, kind) for text in block[begin : begin + 50]], np.float16)
                if self.breaks:
                    raise KeyboardInterrupt

    @staticmethod
    def vector(text: str, kind: Kind) -> tuple[float, float]:
        angle = len(text) / 10 + (kind == "query")
        return float(np.cos(angle)), float(np.sin(angle))


def texts(dataset: PreparedDataset) -> tuple[list[str], list[str]]:
    queries, documents = ([text for block in dataset.texts(name) for text in block] for name in ("queries", "corpus"))
    return queries, documents


def test_scores_are_those_of_the_rows(toy_dataset: Path, tmp_path: Path) -> None:
    dataset = PreparedDataset.open(toy_dataset)
    found = guidance([(tmp_path / "cache", dataset)], Lengths(), 0.1)
    queries, documents = texts(dataset)
    rows, columns = np.array([3, 0, 3]), np.array([7, 119, 0])
    expected = [
        [np.dot(Lengths.vector(queries[i], "query"), Lengths.vector(documents[j], "document")) for j in columns]
        for i in rows
    ]
    np.testing.assert_allclose(found.scores(rows, columns), expected, atol=2e-3)
    np.testing.assert_allclose(found.pair_scores(rows, columns), np.diagonal(found.scores(rows, columns)), atol=1e-6)
    assert found.margin == 0.1
    assert isinstance(found.documents, np.memmap)


def test_texts_are_embedded_once_for_each_guide_and_data_set(toy_dataset: Path, tmp_path: Path) -> None:
    dataset, first, again = PreparedDataset.open(toy_dataset), Lengths(), Lengths()
    guidance([(tmp_path / "cache", dataset)], first, 0.0)
    guidance([(tmp_path / "cache", dataset)], again, 0.5)
    assert (first.read, again.read) == (240, 0)
    other, other_data = Lengths(), Lengths()
    other.fingerprint = "other"
    guidance([(tmp_path / "cache", dataset)], other, 0.0)
    guidance([(tmp_path / "cache", PreparedDataset.open(write_toy_dataset(tmp_path / "few", 20)))], other_data, 0.0)
    assert (other.read, other_data.read) == (240, 80)


def test_what_was_cut_off_half_way_leaves_nothing(toy_dataset: Path, tmp_path: Path) -> None:
    dataset, again = PreparedDataset.open(toy_dataset), Lengths()
    with pytest.raises(KeyboardInterrupt):
        guidance([(tmp_path / "cache", dataset)], Lengths(breaks=True), 0.0)
    (place,) = (tmp_path / "cache").iterdir()
    assert list(place.iterdir()) == []
    assert isinstance(guidance([(tmp_path / "cache", dataset)], again, 0.0), Guidance)
    assert again.read == 240


def test_several_data_sets_are_looked_up_by_the_rows_among_all(toy_dataset: Path, tmp_path: Path) -> None:
    dataset = PreparedDataset.open(toy_dataset)
    other = PreparedDataset.open(write_toy_dataset(tmp_path / "few", 20, mark="x"))
    places = [(tmp_path / "cache", dataset), (tmp_path / "cache", other)]
    whole = guidance(places, Lengths(), 0.1)
    alone = [guidance([place], Lengths(), 0.1) for place in places]
    for side, counts in (("queries", "query_count"), ("documents", "document_count")):
        tables = np.concatenate([getattr(one, side) for one in alone])
        rows = np.array([getattr(dataset, counts) + 3, 0, getattr(dataset, counts) - 1, getattr(dataset, counts), 7])
        assert np.array_equal(getattr(whole, side)[rows], tables[rows])


@pytest.mark.parametrize("part", [DocumentMixing(k=60, weight=0.5, temperature=1.0), HubCorrection(k=5, alpha=0.7)])
def test_mixed_scores_are_those_by_which_the_guide_ranks(
    toy_dataset: Path, tmp_path: Path, part: DocumentMixing | HubCorrection
) -> None:
    dataset, mixing = PreparedDataset.open(toy_dataset), Composition.of(part)
    found = guidance([(tmp_path, dataset)], Lengths(mixing=mixing), 0.0, mixed=True)
    queries, documents = texts(dataset)
    # Rounded as they are kept: else other neighbours are the nearest of many alike.
    sides = [
        torch.tensor([Lengths.vector(text, kind) for text in own], dtype=torch.float16).float()
        for own, kind in ((queries, "query"), (documents, "document"))
    ]
    ranked = mixing(Side(sides[0]), Corpus(Side(sides[1])))
    expected = ranked.queries @ ranked.documents.T
    rows, columns = np.array([3, 0, 3]), np.array([7, 119, 0])
    np.testing.assert_allclose(found.scores(rows, columns), expected[rows][:, columns], atol=2e-3)
    plain = guidance([(tmp_path, dataset)], Lengths(), 0.0)
    assert not np.allclose(plain.scores(rows, columns), found.scores(rows, columns), atol=2e-2)
    again = Lengths(mixing=mixing)
    np.testing.assert_array_equal(
        guidance([(tmp_path, dataset)], again, 0.0, mixed=True).scores(rows, columns), found.scores(rows, columns)
    )
    assert again.read == 0


def test_an_ensemble_scores_by_the_mean(toy_dataset: Path, tmp_path: Path) -> None:
    dataset, hubs = PreparedDataset.open(toy_dataset), Composition.of(HubCorrection(k=5))
    members = [guidance([(tmp_path, dataset)], Lengths(mixing=hubs), 0.0, mixed=mixed) for mixed in (False, True, True)]
    rows, columns = np.array([3, 0]), np.array([7, 119, 0])
    expected = sum(member.scores(rows, columns) for member in members) / 3
    np.testing.assert_allclose(Ensemble(members).scores(rows, columns), expected, atol=1e-6)
