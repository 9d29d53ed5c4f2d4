"""Every mixing strategy against loops over anchors, and what all of them have in common."""

import copy
import io
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from hr_retrieval.objective.mixing import (
    AnchorMixing,
    AnchorNegativeMixing,
    DocumentMixing,
    MemoryQueue,
    Mixed,
    Mixing,
    NegativeNegativeMixing,
    NeighbourPositiveMixing,
    Neighbours,
    NoMixing,
    PoolNegativeMixing,
    PositiveGroupMixing,
    PositiveNegativeMixing,
    PositivePositiveMixing,
    SoftLabelMixing,
)
from hr_retrieval.objective.similarity import cosine, synthetic_cosine
from hr_retrieval.objective.triplet import TripletLoss

Vector = list[float]
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]

SHAPES = [(1, 1), (3, 3), (4, 7), (6, 10)]
# They are added to the plain loss and look over the whole corpus by themselves; here they mix a
# batch as the others do.
ADDED: list[Any] = [
    partial(strategy, source="batch", added=None, ramp_steps=0)
    for strategy in (DocumentMixing, PositiveGroupMixing, PoolNegativeMixing)
]
DOCUMENT, GROUP, POOL = ADDED
STRATEGIES: list[Any] = [
    AnchorMixing,
    NegativeNegativeMixing,
    AnchorNegativeMixing,
    PositiveNegativeMixing,
    PositivePositiveMixing,
    NeighbourPositiveMixing,
    *ADDED,
    SoftLabelMixing,
]
NEIGHBOUR_STRATEGIES = STRATEGIES[:-1]
RANDOM_STRATEGIES: list[tuple[type[Mixing], dict[str, Any]]] = [
    (NegativeNegativeMixing, {}),
    (AnchorNegativeMixing, {}),
    (SoftLabelMixing, {}),
    (SoftLabelMixing, {"side": "documents"}),
    (AnchorMixing, {"random": True}),
    (PositiveNegativeMixing, {"random": True}),
    (PositivePositiveMixing, {"random": True}),
    (NeighbourPositiveMixing, {"random": True}),
    (POOL, {}),
]


def unit(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(values, dim=-1).to(dtype)


def each(documents: int) -> torch.Tensor:
    """Codes of documents without duplicates."""
    return torch.arange(documents)


def batch(anchors: int, documents: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Batch:
    """Unit vectors, relevance by groups with several members and some documents of no anchor's
    group, and negatives: most of the others, as with a guide.
    """
    generator = torch.Generator().manual_seed(seed)
    groups = torch.randint(max(1, anchors - 1), (anchors,), generator=generator)
    more = torch.randint(anchors + 1, (documents - anchors,), generator=generator)
    relevance = groups[:, None] == torch.cat([groups, more])[None]
    negative = ~relevance & (torch.rand(anchors, documents, generator=generator) < 0.8)
    return (
        unit(anchors, 4, seed=seed, dtype=dtype),
        unit(documents, 4, seed=seed + 1, dtype=dtype),
        relevance,
        negative,
        each(documents),
    )


def overlapping(anchors: int, documents: int) -> Batch:
    """Relevance that is not one of groups: documents that share an anchor need not share another one."""
    plain = batch(anchors, documents)
    relevance = torch.rand(anchors, documents, generator=torch.Generator().manual_seed(1)) < 0.4
    relevance |= torch.eye(anchors, documents, dtype=torch.bool)
    return plain[0], plain[1], relevance, ~relevance & (plain[2] | plain[3]), plain[4]


def graded(relevance: torch.Tensor, negative: torch.Tensor) -> list[list[float]]:
    """1 relevant, 0 a negative, -1 neither."""
    return [
        [1.0 if r else 0.0 if n else -1.0 for r, n in zip(*rows, strict=True)]
        for rows in zip(relevance.tolist(), negative.tolist(), strict=True)
    ]


def beyond(anchors: int, size: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Neighbours:
    draw = torch.rand(anchors, size, generator=torch.Generator().manual_seed(seed))
    return Neighbours(unit(size, 4, seed=seed + 2, dtype=dtype), draw < 0.3, draw > 0.4, 1000 + each(size))


def normalised(vector: Vector) -> Vector:
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length for x in vector]


def dot(first: Vector, second: Vector) -> float:
    return sum(x * y for x, y in zip(first, second, strict=True))


def total(*parts: tuple[float, Vector]) -> Vector:
    return [sum(weight * vector[i] for weight, vector in parts) for i in range(len(parts[0][1]))]


def nearest(query: Vector, candidates: list[Vector], k: int) -> list[Vector]:
    return sorted(candidates, key=lambda candidate: -dot(query, candidate))[:k]


def split(
    documents: torch.Tensor, relevance: torch.Tensor, negative: torch.Tensor, anchor: int
) -> tuple[list[Vector], list[Vector]]:
    """The relevant documents without the own positive, and the negatives."""
    rows = documents.tolist()
    relevant = [row for j, row in enumerate(rows) if relevance[anchor, j] and j != anchor]
    return relevant, [row for j, row in enumerate(rows) if negative[anchor, j]]


def mean_or_softmax(query: Vector, chosen: list[Vector], temperature: float | None) -> Vector:
    weights = [1.0 if temperature is None else math.exp(dot(query, vector) / temperature) for vector in chosen]
    return total(*((weight / sum(weights), vector) for weight, vector in zip(weights, chosen, strict=True)))


def assert_same(found: torch.Tensor, expected: list[Any]) -> None:
    torch.testing.assert_close(found, torch.tensor(expected, dtype=found.dtype).view(found.shape))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("temperature", [None, 0.3])
@pytest.mark.parametrize("own_positive", [False, True])
@pytest.mark.parametrize("source", ["batch", "queue"])
def test_anchor_mixing_matches_loops(
    shape: tuple[int, int], temperature: float | None, own_positive: bool, source: str
) -> None:
    anchors, documents, relevance, negative, identities = batch(*shape)
    neighbours = beyond(shape[0], 5)
    options: dict[str, Any] = {} if temperature is None else {"weights": "softmax", "temperature": temperature}
    mixing = AnchorMixing(
        random=False, positive_weight=0.2, negative_weight=0.3, k=2, own_positive=own_positive, source=source, **options
    )
    mixed = mixing(anchors, documents, relevance, negative, identities, 0, neighbours)
    if source == "queue":
        candidates = torch.cat([documents, neighbours.embeddings])
        candidate_relevance = torch.cat([relevance, neighbours.relevance], 1)
        candidate_negative = torch.cat([negative, neighbours.negative], 1)
    else:
        candidates, candidate_relevance, candidate_negative = documents, relevance, negative
    expected = []
    for i, anchor in enumerate(anchors.tolist()):
        positives, negatives = split(candidates, candidate_relevance, candidate_negative, i)
        if own_positive:
            positives.append(documents[i].tolist())
        for j, other in enumerate(anchors.tolist()):
            shared = any(relevance[i, d] and relevance[j, d] for d in range(shape[1]))
            if j != i and shared:
                positives.append(other)
        parts = [(1 - 0.2 * bool(positives) - 0.3 * bool(negatives), anchor)]
        for weight, kind in ((0.2, positives), (0.3, negatives)):
            if kind:
                parts.append((weight, mean_or_softmax(anchor, nearest(anchor, kind, 2), temperature)))
        expected.append(normalised(total(*parts)))
    assert_same(mixed.anchors, expected)
    assert torch.equal(mixed.documents, documents)
    assert mixed.relevance.tolist() == graded(relevance, negative)
    shift = sum(dot(a, b) for a, b in zip(anchors.tolist(), expected, strict=True)) / len(expected)
    assert mixed.diagnostics["shift"].item() == pytest.approx(shift)


def drawn_pairs(
    seed: int, step: int, count: int, hardest: list[list[Vector]]
) -> tuple[list[list[tuple[int, int]]], np.random.Generator]:
    """Places of the pairs that the MoCHi strategies draw, any one and any other one; and the generator after that."""
    random = np.random.default_rng((seed, step))
    first, further = random.random((len(hardest), count)), random.random((len(hardest), count))
    pairs = []
    for i, near in enumerate(hardest):
        found = max(1, len(near))
        ones = [int(u * found) for u in first[i]]
        others = [(one + 1 + int(u * (found - 1))) % found for one, u in zip(ones, further[i], strict=True)]
        pairs.append(list(zip(ones, others, strict=True)))
    return pairs, random


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("random", [False, True])
@pytest.mark.parametrize(
    ("strategy", "share", "most"), [(NegativeNegativeMixing, "alpha", 0.7), (AnchorNegativeMixing, "beta", 0.4)]
)
def test_the_mochi_strategies_match_loops(
    shape: tuple[int, int], random: bool, strategy: type[Mixing], share: str, most: float
) -> None:
    """Between one hard negative and another one, or the anchor."""
    anchors, documents, relevance, negative, identities = batch(*shape)
    options: dict[str, Any] = {"k": 3, "count": 4, "random": random, "seed": 5, share: most}
    mixed = strategy(**options)(anchors, documents, relevance, negative, identities, 2)
    hardest = [nearest(a, split(documents, relevance, negative, i)[1], 3) for i, a in enumerate(anchors.tolist())]
    pairs, generator = drawn_pairs(5, 2, 4, hardest)
    shares = generator.uniform(0, most, (len(anchors), 4)) if random else np.full((len(anchors), 4), most)
    for i, near in enumerate(hardest):
        if not near:
            assert mixed.synthetic_relevance[i].tolist() == [-1.0] * 4
            continue
        others = [near[other] if strategy is NegativeNegativeMixing else anchors[i].tolist() for _, other in pairs[i]]
        points = [
            normalised(total((1 - shares[i][m], near[one]), (shares[i][m], others[m])))
            for m, (one, _) in enumerate(pairs[i])
        ]
        assert all(one != other for one, other in pairs[i]) or len(near) == 1
        assert_same(mixed.synthetic[i], points)
        assert mixed.synthetic_relevance[i].tolist() == [0.0] * 4


def test_the_anchors_share_in_a_negative_is_the_smaller_one() -> None:
    anchors, documents = torch.eye(4)[:1], torch.eye(4)[:2]
    relevance = torch.tensor([[True, False]])
    for step in range(20):
        points = AnchorNegativeMixing(k=1, count=8)(anchors, documents, relevance, ~relevance, each(2), step).synthetic[
            0
        ]
        assert bool((points[:, 1] > points[:, 0]).all())


@pytest.mark.parametrize("shape", SHAPES)
def test_positive_negative_mixing_matches_loops(shape: tuple[int, int]) -> None:
    anchors, documents, relevance, negative, identities = batch(*shape)
    mixed = PositiveNegativeMixing(k=2, weight=0.3)(anchors, documents, relevance, negative, identities, 0)
    for i, anchor in enumerate(anchors.tolist()):
        near = nearest(anchor, split(documents, relevance, negative, i)[1], 2)
        points = [normalised(total((0.3, documents[i].tolist()), (0.7, negative))) for negative in near]
        present = mixed.synthetic_relevance[i] == 0
        assert int(present.sum()) == len(near)
        assert_same(mixed.synthetic[i][present], points)


def division_points(begin: Vector, end: Vector, n: int) -> list[Vector]:
    return [normalised(total((1 - j / (n + 1), begin), (j / (n + 1), end))) for j in range(1, n + 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("make", [batch, overlapping])
def test_positive_positive_mixing_matches_loops(shape: tuple[int, int], make: Callable[..., Batch]) -> None:
    anchors, documents, relevance, negative, identities = make(*shape)
    mixed = PositivePositiveMixing(points=2, k=2)(anchors, documents, relevance, negative, identities, 0)
    rows = documents.tolist()
    for i, anchor in enumerate(anchors.tolist()):
        others, _ = split(documents, relevance, negative, i)
        points = [point for other in nearest(anchor, others, 2) for point in division_points(rows[i], other, 2)]
        assert mixed.synthetic_relevance[i, 0] == (1 if points else -1)
        if points:
            assert_same(mixed.synthetic[i, 0], min(points, key=lambda point: dot(anchor, point)))
        negatives = [j for j in range(shape[1]) if negative[i, j]]
        hard = sorted(negatives, key=lambda j: -dot(anchor, rows[j]))[:2]
        points = []
        for j in hard:
            mates = [m for m in negatives if m != j and bool((relevance[:, m] & relevance[:, j]).any())]
            if mates:
                mate = max(mates, key=lambda m: dot(anchor, rows[m]))
                points += division_points(rows[j], rows[mate], 2)
        assert mixed.synthetic_relevance[i, 1] == (0 if points else -1)
        if points:
            assert_same(mixed.synthetic[i, 1], max(points, key=lambda point: dot(anchor, point)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weight", [1.0, 0.4])
@pytest.mark.parametrize("random", [False, True])
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("add", [False, True])
def test_neighbour_positive_mixing_matches_loops(
    shape: tuple[int, int], weight: float, random: bool, k: int, add: bool
) -> None:
    anchors, documents, relevance, negative, identities = overlapping(*shape)
    mixed = NeighbourPositiveMixing(weight=weight, random=random, k=k, add=add)(
        anchors, documents, relevance, negative, identities, 0
    )
    drawn = np.random.default_rng((0, 0)).uniform(0, weight, shape[0])
    judged, labels = graded(relevance, negative), graded(relevance, negative)
    moved = documents.tolist()
    for i in range(shape[0]):
        own, others = documents[i].tolist(), [j for j in range(shape[1]) if relevance[i, j] and j != i]
        near = sorted(others, key=lambda j: -dot(own, documents[j].tolist()))[:k]
        if near:
            share = drawn[i] if random else weight
            parts = [(share / len(near), documents[j].tolist()) for j in near]
            moved[i] = normalised(total((1 - share, own), *parts))
            for q in range(shape[0]):
                of_neighbours = sum(judged[q][j] for j in near) / len(near)
                labels[q][i] = (1 - share) * judged[q][i] + share * of_neighbours
                if any(judged[q][j] < 0 for j in (i, *near)):
                    labels[q][i] = -1.0
        if add:
            assert mixed.synthetic_relevance[i, 0] == (1 if near else -1)
    if add:
        present = mixed.synthetic_relevance[:, 0] == 1
        assert torch.equal(mixed.documents, documents)
        assert_same(mixed.synthetic[present, 0], [moved[i] for i in range(shape[0]) if present[i]])
    else:
        assert_same(mixed.documents, moved)
        assert_same(mixed.relevance, labels)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("source", ["batch", "queue"])
def test_document_mixing_matches_loops(shape: tuple[int, int], source: str) -> None:
    anchors, documents, relevance, negative, identities = batch(*shape)
    neighbours = beyond(shape[0], 6)
    mixed = DOCUMENT(k=2, source=source, weight=0.4, temperature=0.3)(
        anchors, documents, relevance, negative, identities, 0, neighbours
    )
    candidates, judged = documents.tolist(), graded(relevance, negative)
    if source == "queue":
        candidates = candidates + neighbours.embeddings.tolist()
        further = graded(neighbours.relevance, neighbours.negative)
        judged = [own + more for own, more in zip(judged, further, strict=True)]
    for j, document in enumerate(documents.tolist()):
        others = [c for n, c in enumerate(candidates) if n != j and any(row[n] >= 0 for row in judged)]
        near = nearest(document, others, 2)
        expected = total((0.6, document), (0.4, mean_or_softmax(document, near, 0.3))) if near else document
        assert mixed.documents[j].tolist() == pytest.approx(normalised(expected))
    assert mixed.relevance.tolist() == graded(relevance, negative)
    assert mixed.anchors is anchors


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("beta", [0.0, 3.0])
@pytest.mark.parametrize("source", ["batch", "queue"])
@pytest.mark.parametrize("make", [batch, overlapping])
def test_positive_group_mixing_matches_loops(
    shape: tuple[int, int], beta: float, source: str, make: Callable[..., Batch]
) -> None:
    anchors, documents, relevance, negative, identities = make(*shape)
    neighbours = beyond(shape[0], 6)
    mixed = GROUP(k=3, source=source, beta=beta)(anchors, documents, relevance, negative, identities, 0, neighbours)
    candidates, judged = documents.tolist(), graded(relevance, negative)
    if source == "queue":
        candidates = candidates + neighbours.embeddings.tolist()
        further = graded(neighbours.relevance, neighbours.negative)
        judged = [own + more for own, more in zip(judged, further, strict=True)]
    for j in range(len(anchors)):
        own = candidates[j]
        others = [n for n in range(len(candidates)) if n != j and judged[j][n] == 1]
        group = [j, *sorted(others, key=lambda n: -dot(own, candidates[n]))[:3]]
        powers = [math.exp(beta * dot(own, candidates[n])) for n in group]
        weights = [power / sum(powers) for power in powers]
        blend = total(*zip(weights, (candidates[n] for n in group), strict=True))
        assert mixed.documents[j].tolist() == pytest.approx(normalised(blend))
        for i in range(len(anchors)):
            parts = [judged[i][n] for n in group]
            expected = -1.0 if -1 in parts else sum(w * part for w, part in zip(weights, parts, strict=True))
            assert mixed.relevance[i, j].item() == pytest.approx(expected)
    size = len(anchors)
    assert torch.equal(mixed.documents[size:], documents[size:])
    assert mixed.relevance[:, size:].tolist() == [row[size : len(documents)] for row in judged]


@pytest.mark.parametrize("shape", SHAPES)
def test_pool_negative_mixing_matches_loops(shape: tuple[int, int]) -> None:
    anchors, documents, relevance, negative, identities = batch(*shape)
    mixed = POOL(k=3, weight=0.6)(anchors, documents, relevance, negative, identities, 5)
    shares = np.random.default_rng((0, 5)).uniform(0, 0.6, (len(anchors), 3, 1))
    assert mixed.synthetic.shape[1] == 1
    for i, anchor in enumerate(anchors.tolist()):
        pool = nearest(anchor, split(documents, relevance, negative, i)[1], 3)
        assert mixed.synthetic_relevance[i].item() == (0 if pool else -1)
        own = documents[i].tolist()
        points = [normalised(total((s, own), (1 - s, n))) for s, n in zip(shares[i, :, 0], pool, strict=False)]
        if points:
            hardest = max(points, key=lambda point: dot(anchor, point))
            assert mixed.synthetic[i, 0].tolist() == pytest.approx(hardest)


def test_what_is_added_rises_by_its_weight_and_mixes_at_full_strength() -> None:
    given_batch = batch(5, 8)
    mixing = AnchorMixing(random=False, start_step=2, ramp_steps=4, added=0.2)
    assert [mixing.risen(step) for step in range(8)] == [0, 0, 0.25, 0.5, 0.75, 1, 1, 1]
    assert is_identity(mixing(*given_batch, 1), given_batch)
    assert same(mixing(*given_batch, 2), AnchorMixing(random=False)(*given_batch, 2))


def test_neighbours_of_another_group_never_become_negatives() -> None:
    # Documents 0 and 2 are relevant to anchor 0, and 2 also to anchor 1, whose negative must not be
    # 0 replaced by 2.
    documents = unit(3, 4, seed=0)
    relevance = torch.tensor([[True, False, True], [False, True, True]])
    mixed = NeighbourPositiveMixing()(documents[:2], documents, relevance, ~relevance, each(len(documents)), 0)
    torch.testing.assert_close(mixed.documents[0], documents[2])
    assert mixed.relevance[1, 0] == 1


def test_relevance_of_equally_relevant_parts_is_exact() -> None:
    # Also where the weights of k neighbours do not sum to 1 exactly: a remainder would be a
    # negative.
    anchors, documents = (unit(size, 4, seed=size, dtype=torch.float32) for size in (2, 20))
    relevance = torch.ones(2, 20, dtype=torch.bool)
    for k in range(1, 16):
        for weight in (1.0, 0.3):
            mixed = NeighbourPositiveMixing(k=k, weight=weight)(
                anchors, documents, relevance, ~relevance, each(len(documents)), 0
            )
            assert bool((mixed.relevance == 1).all())


@pytest.mark.parametrize("side", ["anchors", "documents"])
@pytest.mark.parametrize("shape", SHAPES)
def test_soft_label_mixing_matches_loops(shape: tuple[int, int], side: str) -> None:
    anchors, documents, relevance, negative, identities = batch(*shape)
    mixed = SoftLabelMixing(alpha=0.8, side=side, seed=3)(anchors, documents, relevance, negative, identities, 7)
    plain = (anchors if side == "anchors" else documents).tolist()
    labels = graded(*(mask if side == "anchors" else mask.T for mask in (relevance, negative)))
    random = np.random.default_rng((3, 7))
    partner, share = random.permutation(len(plain)), 1 - random.beta(0.8, 0.8, len(plain))
    expected = [normalised(total((1 - share[i], plain[i]), (share[i], plain[partner[i]]))) for i in range(len(plain))]
    expected_labels = [
        [
            -1.0 if own < 0 or other < 0 else (1 - share[i]) * own + share[i] * other
            for own, other in zip(labels[i], labels[partner[i]], strict=True)
        ]
        for i in range(len(plain))
    ]
    assert_same(mixed.anchors if side == "anchors" else mixed.documents, expected)
    torch.testing.assert_close(
        mixed.relevance if side == "anchors" else mixed.relevance.T, torch.tensor(expected_labels, dtype=torch.float64)
    )
    assert torch.equal(
        mixed.documents if side == "anchors" else mixed.anchors, documents if side == "anchors" else anchors
    )


def test_an_anchor_dealt_to_itself_is_not_mixed() -> None:
    assert SoftLabelMixing()(*batch(1, 1), 0).diagnostics["mixed_share"] == 0
    partner = np.random.default_rng((0, 0)).permutation(6)
    mixed = SoftLabelMixing()(*batch(6, 6), 0).diagnostics["mixed_share"].item()
    assert mixed == pytest.approx((partner != np.arange(6)).mean())


def fields(mixed: Mixed) -> list[torch.Tensor]:
    return [mixed.anchors, mixed.documents, mixed.relevance.double(), mixed.synthetic, mixed.synthetic_relevance]


def same(first: Mixed, second: Mixed) -> bool:
    return all(torch.equal(one, other) for one, other in zip(fields(first), fields(second), strict=True))


def is_identity(mixed: Mixed, given_batch: Batch) -> bool:
    kept = mixed.anchors is given_batch[0] and mixed.documents is given_batch[1] and mixed.synthetic.shape[1] == 0
    return kept and mixed.relevance.tolist() == graded(*given_batch[2:4])


@pytest.mark.parametrize("strategy", [NoMixing, *STRATEGIES])
def test_identity_in_evaluation(strategy: type[Mixing]) -> None:
    given_batch = batch(5, 8)
    mixed = strategy().eval()(*given_batch, 0)
    assert is_identity(mixed, given_batch)
    assert mixed.diagnostics["mixed_share"] == 0


def test_no_mixing_is_the_identity_in_training() -> None:
    given_batch = batch(5, 8)
    assert is_identity(NoMixing()(*given_batch, 0), given_batch)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_start_step_and_ramp(strategy: type[Mixing]) -> None:
    given_batch = batch(5, 8)
    mixing = strategy(start_step=3, ramp_steps=4)
    assert is_identity(mixing(*given_batch, 2), given_batch)
    early, late = mixing(*given_batch, 3), mixing(*given_batch, 6)
    assert not is_identity(early, given_batch)
    assert same(strategy()(*given_batch, 6), late)
    assert not same(strategy()(*given_batch, 3), early)


def test_ramp_is_linear_in_the_share() -> None:
    given_batch = batch(5, 8)
    mixing = AnchorMixing(random=False, positive_weight=0.2, negative_weight=0.4, ramp_steps=4)
    for step in range(4):
        share = (step + 1) / 4
        expected = AnchorMixing(random=False, positive_weight=0.2 * share, negative_weight=0.4 * share)(
            *given_batch, step
        )
        torch.testing.assert_close(mixing(*given_batch, step).anchors, expected.anchors)


@pytest.mark.parametrize(("strategy", "options"), RANDOM_STRATEGIES)
def test_draws_follow_from_seed_and_step(strategy: type[Mixing], options: dict[str, Any]) -> None:
    given_batch = batch(5, 8)
    mixing = strategy(seed=1, **options)
    first = mixing(*given_batch, 4)
    mixing(*given_batch, 5)
    torch.manual_seed(99)
    assert same(mixing(*given_batch, 4), first)
    assert same(strategy(seed=1, **options)(*given_batch, 4), first)
    assert not same(mixing(*given_batch, 5), first)
    assert not same(strategy(seed=2, **options)(*given_batch, 4), first)


OPTIONS: list[tuple[type[Mixing], dict[str, Any]]] = [
    (AnchorMixing, {"positive_weight": 0.1}),
    (AnchorMixing, {"negative_weight": 0.4}),
    (AnchorMixing, {"random": False}),
    (AnchorMixing, {"own_positive": False}),
    (NegativeNegativeMixing, {"count": 3}),
    (NegativeNegativeMixing, {"alpha": 0.5}),
    (NegativeNegativeMixing, {"random": False}),
    (AnchorNegativeMixing, {"count": 3}),
    (AnchorNegativeMixing, {"beta": 0.2}),
    (AnchorNegativeMixing, {"random": False}),
    (PositiveNegativeMixing, {"weight": 0.4}),
    (PositiveNegativeMixing, {"random": True}),
    (PositivePositiveMixing, {"points": 2}),
    (PositivePositiveMixing, {"random": True}),
    (PositivePositiveMixing, {"negatives": False}),
    (NeighbourPositiveMixing, {"weight": 0.5}),
    (NeighbourPositiveMixing, {"random": True}),
    (NeighbourPositiveMixing, {"add": True}),
    (DOCUMENT, {"weight": 0.3}),
    (DOCUMENT, {"temperature": 0.5}),
    (GROUP, {"beta": 0.0}),
    (POOL, {"weight": 0.2}),
    (SoftLabelMixing, {"alpha": 0.3}),
    (SoftLabelMixing, {"side": "documents"}),
    *((strategy, {"k": 2}) for strategy in NEIGHBOUR_STRATEGIES if strategy not in (PositivePositiveMixing, GROUP)),
    (PositivePositiveMixing, {"k": 1}),
    (GROUP, {"k": 1}),
    *((strategy, {"source": "queue"}) for strategy in NEIGHBOUR_STRATEGIES),
    *((strategy, {"renormalise": False}) for strategy in STRATEGIES if strategy is not NeighbourPositiveMixing),
]


@pytest.mark.parametrize(("strategy", "options"), OPTIONS)
def test_every_option_changes_something(strategy: type[Mixing], options: dict[str, Any]) -> None:
    given_batch = batch(8, 14, seed=4)
    neighbours = beyond(8, 20)
    default, other = strategy()(*given_batch, 0), strategy(**options)(*given_batch, 0, neighbours)
    assert [one.shape for one in fields(default)] != [one.shape for one in fields(other)] or not same(default, other)


def test_options_that_need_another() -> None:
    given_batch = batch(8, 14, seed=4)
    cold = AnchorMixing(k=3, random=False, weights="softmax", temperature=0.01)(*given_batch, 0)
    assert not same(cold, AnchorMixing(k=3, random=False, weights="softmax", temperature=1.0)(*given_batch, 0))
    assert not same(cold, AnchorMixing(k=3, random=False)(*given_batch, 0))
    scaled = NeighbourPositiveMixing(weight=0.5)(*given_batch, 0)
    assert not same(scaled, NeighbourPositiveMixing(weight=0.5, renormalise=False)(*given_batch, 0))


def gradients(mixing: Mixing, given_batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of the plain embeddings through what the mixing added or changed."""
    anchors, documents = given_batch[0].clone().requires_grad_(), given_batch[1].clone().requires_grad_()
    mixed = mixing(anchors, documents, *given_batch[2:], 0)
    changed = [mixed.synthetic] if mixed.synthetic.shape[1] else [mixed.anchors, mixed.documents]
    value = sum((part * unit(*part.shape, seed=9)).sum() for part in changed)
    if not value.requires_grad:
        return torch.zeros_like(anchors), torch.zeros_like(documents)
    grads = torch.autograd.grad(value, (anchors, documents), allow_unused=True, materialize_grads=True)
    return grads[0], grads[1]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_detach_stops_gradients_through_what_is_mixed_in(strategy: type[Mixing]) -> None:
    given_batch = batch(8, 14, seed=4)
    flowing, stopped = (gradients(strategy(detach=detach), given_batch) for detach in (False, True))
    assert any(not torch.equal(one, other) for one, other in zip(flowing, stopped, strict=True))
    if strategy()(*given_batch, 0).synthetic.shape[1]:
        assert all(grad.count_nonzero() == 0 for grad in stopped)
        assert any(grad.count_nonzero() > 0 for grad in flowing)


def test_detached_weights_are_constants_too() -> None:
    anchors, documents, relevance, negative, identities = batch(8, 14, seed=4)
    mixing = AnchorMixing(
        random=False,
        positive_weight=0.1,
        negative_weight=0.1,
        k=3,
        weights="softmax",
        temperature=0.5,
        detach=True,
        renormalise=False,
    )
    mixed = mixing(anchors.requires_grad_(), documents, relevance, negative, identities, 0)
    kept = 1 - 0.1 * mixed.diagnostics["with_positive"] - 0.1 * mixed.diagnostics["with_negative"]
    (grad,) = torch.autograd.grad(mixed.anchors.sum(), anchors)
    torch.testing.assert_close(grad.mean(), kept.double())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_gradients_are_true(strategy: type[Mixing]) -> None:
    anchors, documents, relevance, negative, identities = batch(3, 5, seed=2)
    more: dict[str, Any] = {"weights": "softmax", "temperature": 0.5} if strategy is AnchorMixing else {}
    mixing = strategy(detach=False, **more)

    def value(anchors: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
        mixed = mixing(anchors, documents, relevance, negative, identities, 0)
        return torch.cat([mixed.anchors, mixed.documents, mixed.synthetic.flatten(0, 1)])

    assert torch.autograd.gradcheck(value, (anchors.requires_grad_(), documents.requires_grad_()))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(STRATEGIES), st.integers(1, 5), st.integers(0, 4), st.integers(0, 99), st.integers(0, 9))
def test_everything_mixed_is_of_unit_length(
    strategy: type[Mixing], anchors: int, further: int, seed: int, step: int
) -> None:
    mixed = strategy()(*batch(anchors, anchors + further, seed), step)
    for part in (mixed.anchors, mixed.documents, mixed.synthetic):
        torch.testing.assert_close(part.norm(dim=-1), torch.ones(part.shape[:-1], dtype=torch.float64))
    assert bool((((mixed.relevance >= 0) & (mixed.relevance <= 1)) | (mixed.relevance == -1)).all())


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([NegativeNegativeMixing, AnchorNegativeMixing, PositiveNegativeMixing, AnchorMixing]),
    st.integers(2, 5),
    st.integers(0, 4),
    st.integers(0, 99),
)
def test_only_negatives_are_mixed_in_as_negatives(
    strategy: type[Mixing], anchors: int, further: int, seed: int
) -> None:
    # Each document is an axis of its own: what was mixed in can be read from the coordinates.
    _, _, relevance, negative, identities = batch(anchors, anchors + further, seed)
    size = 2 * anchors + further
    axes = torch.eye(size + 3, dtype=torch.float64)
    plain, documents = axes[anchors + further : size], axes[: anchors + further]
    # Of the queue's, one is relevant to every anchor and two are neither.
    in_queue = torch.tensor([True, False, False]).expand(anchors, 3)
    neighbours = Neighbours(axes[size:], in_queue, torch.zeros_like(in_queue), 1000 + each(3))
    options: dict[str, Any] = {"positive_weight": 0.0, "negative_weight": 0.5} if strategy is AnchorMixing else {}
    mixed = strategy(source="queue", **options)(plain, documents, relevance, negative, identities, 0, neighbours)
    points = mixed.synthetic if mixed.synthetic.shape[1] else mixed.anchors.unsqueeze(1)
    for i in range(anchors):
        present = mixed.synthetic_relevance[i] == 0 if mixed.synthetic.shape[1] else torch.tensor([True])
        within = points[i][present]
        forbidden = ~negative[i]
        forbidden[i] &= strategy is not PositiveNegativeMixing
        assert within[:, : len(documents)][:, forbidden].count_nonzero() == 0
        assert within[:, size:].count_nonzero() == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 5), st.integers(0, 4), st.integers(0, 99))
def test_only_relevant_documents_are_mixed_in_as_positives(anchors: int, further: int, seed: int) -> None:
    _, _, relevance, negative, identities = batch(anchors, anchors + further, seed)
    axes = torch.eye(2 * anchors + further, dtype=torch.float64)
    plain, documents = axes[anchors + further :], axes[: anchors + further]
    pulled = AnchorMixing(random=False, positive_weight=0.5, negative_weight=0.0, own_positive=False)(
        plain, documents, relevance, negative, identities, 0
    ).anchors
    moved = NeighbourPositiveMixing()(plain, documents, relevance, negative, identities, 0).documents
    between = PositivePositiveMixing(negatives=False)(plain, documents, relevance, negative, identities, 0)
    for i in range(anchors):
        for vector in (pulled[i], moved[i], *between.synthetic[i][between.synthetic_relevance[i] == 1]):
            assert vector[: len(documents)][~relevance[i]].count_nonzero() == 0
        assert pulled[i, i] == 0


EVERY_STRATEGY: list[tuple[type[Mixing], dict[str, Any]]] = [
    (NoMixing, {}),
    *((strategy, {}) for strategy in STRATEGIES),
    (SoftLabelMixing, {"side": "documents"}),
    (NeighbourPositiveMixing, {"weight": 0.5, "k": 2}),
    (NeighbourPositiveMixing, {"add": True}),
]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(EVERY_STRATEGY),
    st.sampled_from([TripletLoss("hinge", 0.5, symmetric=True), TripletLoss(scale=5.0)]),
    st.integers(2, 5),
    st.integers(0, 4),
    st.integers(0, 99),
)
def test_what_is_neither_relevant_nor_a_negative_of_any_anchor_counts_for_nothing(
    strategy: tuple[type[Mixing], dict[str, Any]], loss: TripletLoss, anchors: int, further: int, seed: int
) -> None:
    plain, documents, relevance, negative, identities = batch(anchors, anchors + further, seed)
    wrong = unit(3, 4, seed=seed + 7)
    nowhere = torch.zeros(anchors, 3, dtype=torch.bool)
    mixing = strategy[0](**({"detach": False} if strategy[0] is not NoMixing else {}), **strategy[1])
    if isinstance(mixing, SoftLabelMixing) and mixing.side == "documents":
        # It deals every document to another one: what is mixed with a wrong one counts for nothing.
        mixed = mixing(
            plain,
            torch.cat([documents, wrong]),
            *(torch.cat([m, nowhere], 1) for m in (relevance, negative)),
            each(len(documents) + 3),
            0,
        )
        partner = np.random.default_rng((0, 0)).permutation(len(documents) + 3)
        mixed_with_wrong = torch.from_numpy((partner >= len(documents)) | (np.arange(len(partner)) >= len(documents)))
        assert bool((mixed.relevance[:, mixed_with_wrong] == -1).all())
        return
    wrong.requires_grad_()
    both = [
        mixing(
            plain,
            torch.cat([documents, wrong]),
            torch.cat([relevance, nowhere], 1),
            torch.cat([negative, nowhere], 1),
            each(len(documents) + 3),
            0,
        ),
        mixing(plain, documents, relevance, negative, identities, 0),
    ]
    losses = [
        loss(
            cosine(m.anchors, m.documents), m.relevance, synthetic_cosine(m.anchors, m.synthetic), m.synthetic_relevance
        )
        for m in both
    ]
    assert bool((both[0].relevance[:, -3:] == -1).all())
    torch.testing.assert_close(losses[0].loss, losses[1].loss)
    torch.testing.assert_close(losses[0].diagnostics, losses[1].diagnostics)
    (grad,) = torch.autograd.grad(losses[0].loss, wrong)
    assert grad.count_nonzero() == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_embeddings_are_mixed_in_float32(strategy: type[Mixing], dtype: torch.dtype) -> None:
    anchors, documents, relevance, negative, identities = batch(5, 8, dtype=dtype)
    options: dict[str, Any] = {"source": "queue"} if strategy in NEIGHBOUR_STRATEGIES else {}
    mixing, neighbours = strategy(**options), beyond(5, 4, dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        narrow = mixing(anchors, documents, relevance, negative, identities, 0, neighbours)
    assert narrow.anchors.dtype == narrow.documents.dtype == narrow.synthetic.dtype == torch.float32
    wide = Neighbours(neighbours.embeddings.float(), neighbours.relevance, neighbours.negative, neighbours.identities)
    assert same(narrow, mixing(anchors.float(), documents.float(), relevance, negative, identities, 0, wide))


def test_a_duplicate_of_the_own_positive_is_the_own_positive_also_under_dropout() -> None:
    """In the batch and in the queue: the same text twice, of which dropout makes two embeddings."""
    encoder = Encoder("tiny", dropout=0.3).train()
    texts = ["a fitter of pipes", "a teacher of music", "a fitter of pipes", "a driver of trams"]
    documents = encoder(encoder.tokenise(texts, "document")[0]).detach()
    assert documents[0] @ documents[2] < 0.999
    anchors, duplicates = unit(2, documents.shape[1], seed=0, dtype=torch.float32), torch.tensor([0, 1, 0, 3])
    relevance = torch.tensor([[True, False, True, False], [False, True, False, False]])
    in_batch = (anchors, documents, relevance, ~relevance, duplicates, 0)
    again = Neighbours(documents[2:], relevance[:, 2:], ~relevance[:, 2:], duplicates[2:])
    in_queue = (anchors, documents[:2], relevance[:, :2], ~relevance[:, :2], duplicates[:2], 0, again)
    pulled: dict[str, Any] = {"random": False, "positive_weight": 0.5, "negative_weight": 0.0}
    for source, given_batch in (("batch", in_batch), ("queue", in_queue)):
        for own_positive, share in ((False, 0), (True, 1)):
            mixing = AnchorMixing(source=source, own_positive=own_positive, **pulled)
            assert mixing(*given_batch).diagnostics["with_positive"] == share
        assert NeighbourPositiveMixing(source=source)(*given_batch).diagnostics["mixed_share"] == 0
        between = PositivePositiveMixing(source=source, negatives=False)(*given_batch)
        assert bool((between.synthetic_relevance == -1).all())


@pytest.mark.parametrize(
    ("strategy", "options"), [(AnchorMixing, {"weights": "softmax"}), *((strategy, {}) for strategy in STRATEGIES)]
)
def test_training_through_a_batch_without_negatives_or_neighbours(
    strategy: type[Mixing], options: dict[str, Any]
) -> None:
    for relevance in (torch.ones(2, 2, dtype=torch.bool), torch.eye(2, dtype=torch.bool)):
        anchors, documents = unit(2, 4, seed=0).requires_grad_(), unit(2, 4, seed=1).requires_grad_()
        mixed = strategy(**options)(anchors, documents, relevance, ~relevance, each(len(documents)), 0)
        scores = cosine(mixed.anchors, mixed.documents)
        result = TripletLoss("hinge", 0.5)(
            scores, mixed.relevance, synthetic_cosine(mixed.anchors, mixed.synthetic), mixed.synthetic_relevance
        )
        # Anomaly detection fails on a NaN anywhere in the backward pass, also one that a mask would
        # hide later.
        with torch.autograd.set_detect_anomaly(True):
            grads = torch.autograd.grad(result.loss, (anchors, documents), allow_unused=True, materialize_grads=True)
        assert all(bool(torch.isfinite(grad).all()) for grad in grads)
        assert all(bool(torch.isfinite(value)) for value in mixed.diagnostics.values())
        if bool(relevance.all()):
            assert result.loss == 0


def test_anchor_mixing_counts_true_positives_among_the_nearest() -> None:
    # As below; the own positives 0 and 1 count only where they may be mixed in, and then are the
    # nearest.
    documents = F.normalize(torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0.1, 0], [0, 1, 0, 0.1]]), dim=1)
    relevance = torch.tensor([[True, False, True, False], [False, True, False, False]])
    for k, own_positive, expected in ((1, False, 0.5), (1, True, 1.0), (3, False, 1 / 6)):
        mixing = AnchorMixing(random=False, k=k, own_positive=own_positive)
        mixed = mixing(documents[:2], documents, relevance, ~relevance, each(len(documents)), 0)
        assert mixed.diagnostics["neighbours_true"] == pytest.approx(expected)


def test_true_neighbours_are_counted() -> None:
    # Of the anchors' own positives 0 and 1, the nearest others are 2, relevant to anchor 0, and 3,
    # relevant to none.
    documents = F.normalize(torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0.1, 0], [0, 1, 0, 0.1]]), dim=1)
    relevance = torch.tensor([[True, False, True, False], [False, True, False, False]])
    mixed = NeighbourPositiveMixing()(documents[:2], documents, relevance, ~relevance, each(len(documents)), 0)
    assert mixed.diagnostics["neighbours_true"] == 0.5
    assert mixed.diagnostics["mixed_share"] == 0.5


def test_hardness_is_the_mean_over_present_synthetic_documents() -> None:
    anchors, documents, relevance, negative, identities = batch(4, 7)
    relevance[0], negative[0] = True, False
    mixed = PositiveNegativeMixing(k=3)(anchors, documents, relevance, negative, identities, 0)
    present = mixed.synthetic_relevance == 0
    assert not bool(present[0].any())
    expected = synthetic_cosine(anchors, mixed.synthetic)[present].mean()
    torch.testing.assert_close(mixed.diagnostics["synthetic_hardness"], expected)
    assert mixed.diagnostics["mixed_share"] == 0.75
    both = PositivePositiveMixing()(*batch(6, 10), 0)
    scores = synthetic_cosine(both.anchors, both.synthetic)
    for name, label in (("synthetic_positive_score", 1), ("synthetic_hardness", 0)):
        torch.testing.assert_close(both.diagnostics[name], scores[both.synthetic_relevance == label].mean())


def test_a_source_without_neighbours_is_refused() -> None:
    with pytest.raises(UserError, match="queue"):
        AnchorMixing(random=False, source="queue")(*batch(3, 4), 0)


def test_an_empty_queue_is_like_none() -> None:
    given_batch = batch(5, 8)
    assert same(
        AnchorMixing(random=False, source="queue")(*given_batch, 0, beyond(5, 0)),
        AnchorMixing(random=False)(*given_batch, 0),
    )


@pytest.mark.parametrize(
    ("strategy", "key", "value"),
    [
        (AnchorMixing, "k", 0),
        (AnchorMixing, "source", "disk"),
        (AnchorMixing, "added", 0.0),
        (DocumentMixing, "weight", 1.0),
        (DocumentMixing, "temperature", 0.0),
        (PositiveGroupMixing, "beta", -1.0),
        (PoolNegativeMixing, "weight", 0.0),
        (AnchorMixing, "start_step", -1),
        (AnchorMixing, "ramp_steps", -1),
        (AnchorMixing, "seed", -1),
        (AnchorMixing, "positive_weight", -0.1),
        (AnchorMixing, "negative_weight", -0.1),
        (AnchorMixing, "negative_weight", 0.9),
        (AnchorMixing, "weights", "median"),
        (AnchorMixing, "temperature", 0.0),
        (NegativeNegativeMixing, "count", 0),
        (NegativeNegativeMixing, "alpha", 1.1),
        (AnchorNegativeMixing, "count", 0),
        (AnchorNegativeMixing, "beta", 0.6),
        (PositiveNegativeMixing, "weight", 0.0),
        (PositivePositiveMixing, "points", 0),
        (NeighbourPositiveMixing, "weight", 1.1),
        (SoftLabelMixing, "alpha", 0.0),
        (SoftLabelMixing, "side", "both"),
    ],
)
def test_wrong_options(strategy: Callable[..., Mixing], key: str, value: Any) -> None:
    with pytest.raises(UserError, match=key):
        strategy(**{key: value})


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.lists(st.integers(0, 9), max_size=5))
def test_queue_holds_the_latest(size: int, counts: list[int]) -> None:
    queue, added = MemoryQueue(size, 1), 0
    for count in counts:
        rows = torch.arange(added, added + count)
        queue.enqueue(rows.float().unsqueeze(1) / 10, rows)
        added += count
        embeddings, held = queue.current()
        assert sorted(held.tolist()) == list(range(max(0, added - size), added))
        torch.testing.assert_close(embeddings.squeeze(1), held.float() / 10)


def test_queue_survives_a_checkpoint() -> None:
    queue = MemoryQueue(4, 3)
    queue.enqueue(unit(6, 3, seed=0, dtype=torch.bfloat16), torch.arange(6))
    file = io.BytesIO()
    torch.save(queue.state_dict(), file)
    file.seek(0)
    loaded = MemoryQueue(4, 3)
    loaded.load_state_dict(torch.load(file, weights_only=True))
    for one in (queue, loaded):
        one.enqueue(unit(1, 3, seed=1, dtype=torch.float32), torch.tensor([9]))
    assert all(torch.equal(a, b) for a, b in zip(queue.current(), loaded.current(), strict=True))


def test_enqueueing_does_not_break_an_open_graph() -> None:
    queue = MemoryQueue(4, 3)
    queue.enqueue(unit(4, 3, seed=0), torch.arange(4))
    anchors = unit(2, 3, seed=1, dtype=torch.float32).requires_grad_()
    held, _ = queue.current()
    value = cosine(anchors, held).sum()
    queue.enqueue(anchors, torch.arange(2))
    value.backward()
    torch.testing.assert_close(anchors.grad, held.sum(0).expand(2, 3))
    assert not queue.current()[0].requires_grad


@pytest.mark.parametrize("size", [(0, 3), (3, 0)])
def test_wrong_queue(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="a queue of"):
        MemoryQueue(*size)


@pytest.mark.parametrize("strategy", [NoMixing, *STRATEGIES])
def test_strategies_are_modules_without_state(strategy: type[Mixing]) -> None:
    mixing = copy.deepcopy(strategy())
    assert mixing.state_dict() == {}
    assert mixing.training
    assert not torch.nn.Sequential(mixing).eval()[0].training


@pytest.mark.parametrize("strategy", [NoMixing, *STRATEGIES])
def test_a_count_of_relevant_documents_is_handed_on_only_where_it_still_holds(strategy: type[Mixing]) -> None:
    given = batch(6, 10)
    mixed = strategy().train()(*given, 0, None, int(given[2].sum()))
    assert mixed.relevant in (None, int((mixed.relevance > 0).sum()))
    relabels = (NeighbourPositiveMixing, SoftLabelMixing, PositiveGroupMixing)
    assert (mixed.relevant is None) == isinstance(strategy(), relabels)
