"""Both forms of the loss against loops over triplets and pairs."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.errors import UserError
from hr_retrieval.objective.triplet import LossResult, TripletLoss

Rows = list[list[float]]


def batch(
    anchors: int, documents: int, seed: int = 0, soft: bool = False, synthetic: int = 0, neither: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scores and relevance with several relevant documents, and a share that is neither relevant
    nor a negative; of the synthetic documents one positive and one absent.
    """
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(anchors, documents, generator=generator, dtype=torch.float64) * 2 - 1
    relevance = torch.rand(anchors, documents, generator=generator, dtype=torch.float64) < 0.2
    relevance |= torch.eye(anchors, documents, dtype=torch.bool)
    labels = relevance.double()
    if soft:
        labels = 0.3 * labels + 0.7 * labels[torch.randperm(anchors, generator=generator)]
    absent = torch.rand(anchors, documents, generator=generator, dtype=torch.float64) < neither
    labels = labels.masked_fill(absent & ~relevance, -1)
    synthetic_scores = torch.rand(anchors, synthetic, generator=generator, dtype=torch.float64)
    synthetic_labels = torch.zeros(anchors, synthetic, dtype=torch.float64)
    if synthetic:
        synthetic_labels[0, 0], synthetic_labels[-1, 0] = 1, -1
    return scores, labels, synthetic_scores, synthetic_labels


def joined(
    scores: torch.Tensor, labels: torch.Tensor, extra: torch.Tensor, extra_labels: torch.Tensor
) -> tuple[Rows, Rows]:
    return torch.cat([scores, extra], 1).tolist(), torch.cat([labels, extra_labels], 1).tolist()


def picked(row: list[float], p: int, allowed: list[int], margin: float, negatives: str) -> list[int]:
    if negatives == "hardest" and allowed:
        return [max(allowed, key=lambda n: row[n])]
    if negatives == "semi-hard":
        return [n for n in allowed if row[p] - margin < row[n] < row[p]]
    return allowed


def hinge_twin(
    scores: Rows, labels: Rows, margin: float, negatives: str, reduction: str, weights: Rows | None = None
) -> float:
    total = count = 0.0
    for row, row_labels, own in zip(scores, labels, weights or [[1.0] * len(scores[0])] * len(scores), strict=True):
        for p, positive in enumerate(row_labels):
            if positive <= 0:
                continue
            less = [n for n, label in enumerate(row_labels) if 0 <= label < positive]
            for n in picked(row, p, less, margin, negatives):
                hinge, weight = max(0.0, margin - row[p] + row[n]), own[p] * positive * (1 - row_labels[n])
                total += weight * hinge
                count += weight if reduction == "all" or hinge > 0 else 0
    return total / count if count else 0.0


def smooth_twin(
    scores: Rows, labels: Rows, scale: float, margin: float, negatives: str, weights: Rows | None = None
) -> float:
    total = count = 0.0
    for row, row_labels, own in zip(scores, labels, weights or [[1.0] * len(scores[0])] * len(scores), strict=True):
        whole = sum(label for label in row_labels if label > 0)
        for p, positive in enumerate(row_labels):
            others = [n for n, label in enumerate(row_labels) if n != p and 0 <= label < 1]
            chosen = picked(row, p, others, margin, negatives)
            if positive > 0 and chosen:
                above = sum(math.exp(scale * (margin - row[p] + row[n])) for n in chosen)
                total += own[p] * positive / whole * math.log1p(above)
                count += own[p] * positive / whole
    return total / count if count else 0.0


def transposed(rows: Rows) -> Rows:
    return [list(column) for column in zip(*rows, strict=True)]


SHAPES = [(1, 2), (3, 3), (4, 7), (6, 9)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("negatives", ["all", "hardest", "semi-hard"])
@pytest.mark.parametrize("reduction", ["active", "all"])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("soft", [False, True])
def test_the_hinge_matches_loops(
    shape: tuple[int, int], negatives: str, reduction: str, symmetric: bool, soft: bool
) -> None:
    given_batch = batch(*shape, seed=sum(shape), soft=soft, synthetic=2, neither=0.3)
    rows, labels = joined(*given_batch)
    expected = hinge_twin(rows, labels, 0.4, negatives, reduction)
    if symmetric:
        plain, plain_labels = given_batch[0].tolist(), given_batch[1].tolist()
        other = hinge_twin(transposed(plain), transposed(plain_labels), 0.4, negatives, reduction)
        expected = (expected + other) / 2
    loss = TripletLoss("hinge", 0.4, negatives, reduction=reduction, symmetric=symmetric)(*given_batch).loss
    assert loss.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("margin", "negatives"), [(0.0, "all"), (0.3, "all"), (0.0, "hardest"), (0.3, "hardest"), (0.3, "semi-hard")]
)
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("soft", [False, True])
def test_the_smooth_form_matches_loops(
    shape: tuple[int, int], margin: float, negatives: str, symmetric: bool, soft: bool
) -> None:
    given_batch = batch(*shape, seed=sum(shape), soft=soft, synthetic=2, neither=0.3)
    expected = smooth_twin(*joined(*given_batch), 5.0, margin, negatives)
    if symmetric:
        plain, plain_labels = given_batch[0].tolist(), given_batch[1].tolist()
        expected = (expected + smooth_twin(transposed(plain), transposed(plain_labels), 5.0, margin, negatives)) / 2
    loss = TripletLoss("smooth", margin, negatives, 5.0, symmetric=symmetric)(*given_batch).loss
    assert loss.item() == pytest.approx(expected, abs=1e-10)


def weights_of(scores: torch.Tensor, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.2 + 3 * torch.rand(scores.shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("negatives", ["all", "hardest", "semi-hard"])
@pytest.mark.parametrize("form", ["hinge", "smooth"])
@pytest.mark.parametrize("soft", [False, True])
def test_weights_match_loops(shape: tuple[int, int], negatives: str, form: str, soft: bool) -> None:
    given_batch = batch(*shape, seed=sum(shape), soft=soft, synthetic=2, neither=0.3)
    weights = weights_of(given_batch[0])
    # Synthetic documents weigh as their anchor's own.
    whole = torch.cat([weights, weights.diagonal().unsqueeze(1).expand(-1, 2)], 1)
    plain = given_batch[0].tolist(), given_batch[1].tolist()
    values = []
    for rows, labels, own in (
        (*joined(*given_batch), whole.tolist()),
        (*map(transposed, plain), transposed(weights.tolist())),
    ):
        if form == "hinge":
            values.append(hinge_twin(rows, labels, 0.4, negatives, "active", own))
        else:
            values.append(smooth_twin(rows, labels, 20.0, 0.4, negatives, own))
    loss = TripletLoss(form, 0.4, negatives, symmetric=True)(*given_batch, weights=weights).loss
    assert loss.item() == pytest.approx(sum(values) / 2, abs=1e-10)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([("hinge", "all"), ("smooth", "all"), ("smooth", "hardest")]), st.floats(0.1, 9), st.integers(0, 99)
)
def test_weights_that_are_alike_change_nothing(form: tuple[str, str], weight: float, seed: int) -> None:
    scores, labels, *rest = batch(3, 5, seed, synthetic=1)
    loss = TripletLoss(form[0], 0.2, form[1])
    alike = loss(scores, labels, *rest, weights=torch.full_like(scores, weight))
    torch.testing.assert_close(alike.loss, loss(scores, labels, *rest).loss)


def test_gradients_of_weighted_pairs_grow_with_their_weights() -> None:
    scores, labels, *_ = batch(3, 5)
    found = []
    for weight in (1.0, 3.0):
        own, weights = scores.clone().requires_grad_(), torch.ones_like(scores)
        weights[0] = weight
        TripletLoss(symmetric=False)(own, labels, weights=weights).loss.backward()
        assert own.grad is not None
        found.append(own.grad)
    # A mean over anchors of weights 1, 1, 1, and then 3, 1, 1.
    torch.testing.assert_close(found[1][0], found[0][0] * 3 * 3 / 5)
    torch.testing.assert_close(found[1][1:], found[0][1:] * 3 / 5)


def test_the_default_is_the_in_batch_softmax_in_both_directions() -> None:
    scores = torch.rand(6, 6, generator=torch.Generator().manual_seed(1)) * 2 - 1
    rows = torch.arange(6)
    softmax = [torch.nn.functional.cross_entropy(20.0 * each, rows) for each in (scores, scores.T)]
    torch.testing.assert_close(
        TripletLoss()(scores, torch.eye(6, dtype=torch.bool)).loss, sum(softmax) / 2, rtol=1e-6, atol=0
    )


def test_the_smooth_form_is_cross_entropy_against_mixed_labels() -> None:
    # i-Mix: one positive an anchor, two anchors mixed with shares 0.7 and 0.3.
    scores = batch(4, 4)[0]
    target = 0.7 * torch.eye(4, dtype=torch.float64) + 0.3 * torch.eye(4, dtype=torch.float64)[[1, 2, 3, 0]]
    loss = TripletLoss(scale=5.0, symmetric=False)(scores, target).loss
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(5 * scores, target))


@pytest.mark.parametrize("loss", [TripletLoss("hinge", 0.3), TripletLoss()])
def test_boolean_relevance_is_relevance_of_0_and_1(loss: TripletLoss) -> None:
    scores, labels, *_ = batch(5, 8)
    assert torch.equal(loss(scores, labels > 0).loss, loss(scores, labels).loss)


EVERY_LOSS: list[TripletLoss] = [
    *(TripletLoss("hinge", 0.4, negatives, symmetric=True) for negatives in ("all", "hardest", "semi-hard")),
    TripletLoss("hinge", 0.4, reduction="all"),
    *(TripletLoss("smooth", 0.2, negatives, 5.0) for negatives in ("all", "hardest", "semi-hard")),
]


@pytest.mark.parametrize("loss", EVERY_LOSS)
@pytest.mark.parametrize("soft", [False, True])
def test_gradients(loss: TripletLoss, soft: bool) -> None:
    scores, labels, extra, extra_labels = batch(3, 5, soft=soft, synthetic=2)

    def value(scores: torch.Tensor, extra: torch.Tensor) -> torch.Tensor:
        result: LossResult = loss(scores, labels, extra, extra_labels)
        return result.loss

    assert torch.autograd.gradcheck(value, (scores.requires_grad_(), extra.requires_grad_()))


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(EVERY_LOSS), st.integers(2, 5), st.integers(0, 3), st.integers(0, 99), st.booleans())
def test_order_of_documents_does_not_matter(
    loss: TripletLoss, anchors: int, further: int, seed: int, soft: bool
) -> None:
    scores, labels, *_ = batch(anchors, anchors + further, seed, soft)
    order = torch.randperm(anchors + further, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(loss(scores[:, order], labels[:, order]).loss, loss(scores, labels).loss)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(EVERY_LOSS), st.integers(2, 5), st.integers(0, 3), st.integers(0, 99))
def test_other_relevant_documents_are_not_pushed_away(loss: TripletLoss, anchors: int, further: int, seed: int) -> None:
    scores, labels, *_ = batch(anchors, anchors + further, seed)
    scores.requires_grad_()
    loss(scores, labels).loss.backward()
    assert scores.grad is not None
    assert bool((scores.grad[labels == 1] <= 0).all())
    assert bool((scores.grad[labels == 0] >= 0).all())


def test_no_loss_once_margins_hold() -> None:
    scores = torch.eye(4) * 2 - 1
    relevance = torch.eye(4, dtype=torch.bool)
    for negatives in ("all", "hardest", "semi-hard"):
        assert TripletLoss("hinge", 1.9, negatives)(scores, relevance).loss == 0
    assert TripletLoss("hinge", 1.9)(scores, relevance).diagnostics["active"] == 0
    assert TripletLoss("hinge", 2.1)(scores, relevance).diagnostics["active"] == 1
    assert TripletLoss(margin=1.9)(scores, relevance).diagnostics["active"] == 0
    assert TripletLoss(margin=2.1)(scores, relevance).diagnostics["active"] == 1


@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_a_batch_without_negatives_gives_zero_with_a_graph(loss: TripletLoss) -> None:
    scores = torch.rand(3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    result = loss(scores, torch.ones(3, 4, dtype=torch.bool))
    result.loss.backward()
    assert result.loss.item() == 0
    assert result.diagnostics["without_negatives"] == 1
    assert result.diagnostics["collapsed"] == 0
    assert scores.grad is not None
    assert scores.grad.count_nonzero() == 0


@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_an_anchor_without_negatives_changes_nothing(loss: TripletLoss) -> None:
    scores, labels, *_ = batch(4, 6)
    loss.symmetric, symmetric = False, loss.symmetric
    more = torch.cat([scores, scores[:1]]), torch.cat([labels, torch.ones_like(labels[:1])])
    result = loss(*more)
    torch.testing.assert_close(result.loss, loss(scores, labels).loss)
    assert result.diagnostics["without_negatives"] == pytest.approx(0.2)
    loss.symmetric = symmetric


def test_absent_synthetic_documents_count_for_nothing() -> None:
    scores, labels, *_ = batch(4, 6)
    for loss in EVERY_LOSS:
        plain = loss(scores, labels)
        absent = loss(scores, labels, torch.full((4, 2), 9.0), torch.full((4, 2), -1.0))
        torch.testing.assert_close(absent.loss, plain.loss)
        torch.testing.assert_close(absent.diagnostics, plain.diagnostics)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(EVERY_LOSS), st.integers(2, 5), st.integers(0, 3), st.integers(0, 99), st.booleans())
def test_what_is_neither_relevant_nor_a_negative_counts_for_nothing(
    loss: TripletLoss, anchors: int, further: int, seed: int, soft: bool
) -> None:
    scores, labels, *_ = batch(anchors, anchors + further, seed, soft, neither=0.5)
    scores.requires_grad_()
    other = torch.where(labels == -1, 0.5 * scores.detach().flip(0), scores)
    result = loss(scores, labels)
    torch.testing.assert_close(loss(other, labels).loss, result.loss)
    torch.testing.assert_close(loss(other, labels).diagnostics, result.diagnostics)
    result.loss.backward()
    assert scores.grad is not None
    assert scores.grad[labels == -1].count_nonzero() == 0


def test_synthetic_documents_count() -> None:
    scores, labels, *_ = batch(4, 6)
    hard = torch.full((4, 1), 0.99)
    for loss in EVERY_LOSS:
        if loss.negatives == "semi-hard":
            continue
        assert loss(scores, labels, hard, torch.zeros(4, 1)).loss > loss(scores, labels).loss


@pytest.mark.parametrize(
    ("form", "option"),
    [
        ("smooth", {"form": "hinge"}),
        ("hinge", {"margin": 0.5}),
        ("hinge", {"negatives": "hardest"}),
        ("hinge", {"negatives": "semi-hard"}),
        ("hinge", {"reduction": "all"}),
        ("hinge", {"symmetric": True}),
        ("smooth", {"scale": 10.0}),
        ("smooth", {"margin": 0.1}),
        ("smooth", {"negatives": "hardest"}),
        ("smooth", {"symmetric": False}),
    ],
)
def test_every_option_changes_the_loss(form: str, option: dict[str, Any]) -> None:
    scores, labels, *_ = batch(5, 8)
    assert TripletLoss(form)(scores, labels).loss != TripletLoss(**{"form": form, **option})(scores, labels).loss


@pytest.mark.parametrize(
    ("form", "own"),
    [
        ("smooth", {"margin": 0.0, "scale": 20.0, "symmetric": True}),
        ("hinge", {"margin": 0.1, "reduction": "active", "symmetric": False}),
    ],
)
def test_null_is_what_the_form_takes_by_itself(form: str, own: dict[str, Any]) -> None:
    scores, labels, *_ = batch(5, 8)
    assert torch.equal(TripletLoss(form)(scores, labels).loss, TripletLoss(form, **own)(scores, labels).loss)


@pytest.mark.parametrize(
    ("form", "option", "said"),
    [
        ("soft", {}, "form to be one of smooth, hinge; got soft"),
        ("hinge", {"margin": -0.1}, "margin of at least 0; got -0.1"),
        ("smooth", {"margin": -0.1}, "margin of at least 0; got -0.1"),
        ("hinge", {"negatives": "easy"}, "negatives to be one of all, hardest, semi-hard; got easy"),
        ("hinge", {"reduction": "sum"}, "reduction to be one of active, all; got sum"),
        ("smooth", {"scale": 0.0}, "scale above 0; got 0.0"),
        ("smooth", {"reduction": "all"}, r"reduction with model\.loss\.form=hinge only; got reduction=all"),
        ("hinge", {"scale": 20.0}, r"scale with model\.loss\.form=smooth only; got scale=20\.0"),
        ("smooth", {"negatives": "semi-hard"}, "margin above 0 with negatives=semi-hard"),
        ("hinge", {"negatives": "semi-hard", "margin": 0.0}, "margin above 0 with negatives=semi-hard"),
    ],
)
def test_wrong_options(form: str, option: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        TripletLoss(form, **option)


def test_collapse_is_seen() -> None:
    relevance = torch.eye(4, 6, dtype=torch.bool)
    for loss in EVERY_LOSS:
        together = torch.full((4, 6), 0.9) + torch.rand(4, 6, generator=torch.Generator().manual_seed(0)) * 9e-4
        apart = together.clone()
        apart[0, 0] += 0.01
        assert loss(together, relevance).diagnostics["collapsed"] == 1
        assert loss(apart, relevance).diagnostics["collapsed"] == 0
    assert TripletLoss("hinge", 0.2)(together, relevance).loss.item() == pytest.approx(0.2, abs=1e-3)


def test_alike_scores_without_a_negative_are_no_collapse() -> None:
    for loss in EVERY_LOSS:
        assert loss(torch.full((3, 4), 0.9), torch.ones(3, 4, dtype=torch.bool)).diagnostics["collapsed"] == 0


def test_diagnostic_scores_are_means_over_relevant_and_other_documents() -> None:
    scores, labels, *_ = batch(5, 8)
    diagnostics = TripletLoss("hinge")(scores, labels).diagnostics
    torch.testing.assert_close(diagnostics["positive_score"], scores[labels == 1].mean())
    torch.testing.assert_close(diagnostics["negative_score"], scores[labels == 0].mean())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_narrow_scores_are_compared_in_float32(loss: TripletLoss, dtype: torch.dtype) -> None:
    scores, labels, *_ = batch(4, 6)
    narrow = scores.to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = loss(narrow, labels > 0)
    assert result.loss.dtype == torch.float32
    torch.testing.assert_close(result.loss, loss(narrow.float(), labels > 0).loss)


def test_not_a_number_is_not_hidden() -> None:
    scores, labels, *_ = batch(4, 6)
    scores[1, 1] = torch.nan
    for loss in (TripletLoss("hinge"), TripletLoss()):
        assert not torch.isfinite(loss(scores, labels).loss)


@pytest.mark.parametrize("loss", [TripletLoss(), TripletLoss("hinge", symmetric=True)], ids=["smooth", "hinge"])
@pytest.mark.parametrize("synthetic", [0, 2])
def test_a_known_count_of_relevant_documents_changes_nothing(loss: TripletLoss, synthetic: int) -> None:
    given = batch(5, 8, synthetic=synthetic, neither=0.2)
    counted, told = loss(*given), loss(*given, relevant=int((given[1] > 0).sum()))
    assert float(counted.loss) > 0
    assert torch.equal(told.loss, counted.loss)
    assert {name: float(value) for name, value in told.diagnostics.items()} == {
        name: float(value) for name, value in counted.diagnostics.items()
    }


def test_with_a_known_count_no_number_is_asked_of_the_device() -> None:
    """A device that holds none would refuse."""
    scores = torch.zeros(4, 6, device="meta", requires_grad=True)
    TripletLoss()(scores, torch.ones(4, 6, dtype=torch.bool, device="meta"), relevant=4).loss.backward()
    with pytest.raises((RuntimeError, NotImplementedError)):
        TripletLoss()(scores, torch.ones(4, 6, dtype=torch.bool, device="meta"))
