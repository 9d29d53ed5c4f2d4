"""Encode, mix, compare, log: the Lightning module."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from hr_retrieval.data.batch import Batch
from hr_retrieval.data.source import Source
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.ragged import on_device
from hr_retrieval.errors import UserError
from hr_retrieval.objective.distillation import Distillation
from hr_retrieval.objective.matryoshka import Matryoshka
from hr_retrieval.objective.mixing import MemoryQueue, Mixing, NoMixing, SoftLabelMixing
from hr_retrieval.objective.similarity import cosine
from hr_retrieval.objective.triplet import LossResult, TripletLoss
from hr_retrieval.retrieval.metrics import RankingMetrics
from hr_retrieval.train.global_batch import Surroundings, gathered, remembered
from hr_retrieval.train.ranker import Ranker
from hr_retrieval.train.view import view


class RetrievalModule(Ranker):
    """Anchors and documents are encoded, mixed and compared; quality is measured by exact ranks.

    Args:
        encoder: token batches to unit embeddings.
        mixing: what the loss compares instead of the plain embeddings.
        loss: over scores and relevance.
        optimizer: given parameter groups, makes the optimizer.
        scheduler: given the optimizer and the total number of steps, makes the schedule; `None`
            keeps the rate constant.
        mini_batch: texts encoded at a time, their activations recomputed in the backward pass
            (gradient caching: Gao et al. 2021, arXiv 2101.06983), so that a large batch trains in
            the memory of a small one; `None` encodes all at once.
        queue_size: past documents kept (XBM, see `MemoryQueue`), for mixing with `source=queue` or
            as further negatives.
        queue_negatives: compare the kept documents too, each anchor with those that are its
            negatives.
        queue_start_step: first step whose documents are kept: earlier embeddings change too fast to
            be of use.
        matryoshka: further losses over the first numbers of each vector; `None` for none.
        distillation: how the scores of the data module's teacher are taken in, if it has one.

    Attributes:
        corpora: of each source the embedded corpus that the mixing takes neighbours from, where it
            does; whoever embeds it brings it.
    """

    learner = "encoder"

    def __init__(
        self,
        encoder: Encoder,
        mixing: Mixing,
        loss: TripletLoss,
        optimizer: Callable[[list[dict[str, Any]]], Optimizer] | None = None,
        scheduler: Callable[..., LRScheduler] | None = None,
        mini_batch: int | None = None,
        queue_size: int = 0,
        queue_negatives: bool = False,
        queue_start_step: int = 0,
        matryoshka: Matryoshka | None = None,
        distillation: Distillation | None = None,
    ) -> None:
        super().__init__(encoder, optimizer, scheduler, mini_batch)
        self.mixing, self.loss = mixing, loss
        _check_queue(mixing, queue_size, queue_negatives, queue_start_step)
        self.queue = MemoryQueue(queue_size, encoder.embedding_dimension) if queue_size > 0 else None
        self.queue_negatives, self.queue_start_step = queue_negatives, queue_start_step
        self.matryoshka = matryoshka or Matryoshka()
        self.distillation = distillation or Distillation()
        self.matryoshka.check(encoder.embedding_dimension)
        self.corpora: Sequence[Surroundings] = ()

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of one batch; over several processes the loss of the global batch, on each of them."""
        anchors, documents, views = self._encode(batch)
        whole = gathered(batch, anchors, documents, views, self._data.guard, self.trainer.world_size)

        source: Source = self._data.sources[batch.source]
        past = remembered(self.queue, whole, self._data.guard, source) if self.queue is not None else None
        near = self.corpora[batch.source].around(whole, self._data.guard) if self.corpora else past
        given = (whole.anchors, whole.documents, whole.relevance, whole.negative, whole.identities, self.global_step)
        mixed = self.mixing(*given, near, whole.relevant, whole.views)
        if self.queue is not None and self.global_step >= self.queue_start_step:
            self.queue.enqueue(whole.documents.detach(), on_device(whole.document_rows, self.device))

        further = past if self.queue_negatives else None
        result = self.matryoshka(self.loss, mixed, further, whole.weights)
        if self.mixing.added is not None:
            unmixed = NoMixing()(*given, None, whole.relevant)
            plain = self.matryoshka(self.loss, unmixed, further, whole.weights)
            result = self._added(plain, result)
        teacher = self._data.teacher_scores(whole.query_rows, whole.document_rows)
        if teacher is not None:
            scores = cosine(whole.anchors, whole.documents)
            result = self.distillation(result, scores, on_device(teacher, self.device))
        self._told_of("mixing", mixed.diagnostics, batch)
        self._told_of("guard", {"ignored": whole.ignored_share()}, batch)
        return self._told(result, batch)

    def _measured(
        self, split: Literal["validation", "test"], number: int, ranking: RankingMetrics
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        figures = {name: float(value) for name, value in ranking.compute().items()}
        if ranking.embedded is not None:
            self.embedded.append(ranking.embedded)
        return figures, ranking.query_values

    def _encode(self, batch: Batch) -> tuple[Float[Tensor, "B d"], Float[Tensor, "D d"], Float[Tensor, "B d"] | None]:
        """Anchors, documents and, where the mixing takes them, views of the anchors."""
        tokens, drop = batch.anchors.concatenate(batch.documents), self.mixing.view_drop
        if drop:
            tokens = tokens.concatenate(view(batch.anchors, batch.query_rows, drop, self.mixing.seed, self.global_step))
        # One call for all: packed, their tokens fill the matrix products together.
        embeddings = self.encoder(tokens, mini_batch=self.mini_batch)
        sizes = [len(batch.anchors), len(batch.documents)]
        anchors, documents, views = embeddings.tensor_split([sizes[0], sum(sizes)])
        return anchors, documents, views if drop else None

    def _added(self, plain: LossResult, mixed: LossResult) -> LossResult:
        """The plain loss and, in the weight of the step, the mixed one beside it."""
        assert self.mixing.added is not None, "it is added"
        weight = self.mixing.added * self.mixing.risen(self.global_step)
        return LossResult(plain.loss + weight * mixed.loss, {**plain.diagnostics, "added": mixed.loss.detach()})


def _check_queue(mixing: Mixing, size: int, negatives: bool, start_step: int) -> None:
    source = getattr(mixing, "source", "batch")
    if (source == "queue" or negatives) != (size > 0):
        raise UserError(
            "model.queue_size above 0 with model.mixing.source=queue or model.queue_negatives=true, and 0 without",
            f"{size} with model.mixing.source={source} and model.queue_negatives={str(negatives).lower()}",
            "Set both, for example model.queue_size=4096 model.queue_negatives=true, or neither.",
        )
    if start_step < 0 or (start_step > 0 and size == 0):
        raise UserError(
            "model.queue_start_step of at least 0, and 0 without a queue",
            f"{start_step} with model.queue_size={size}",
            "Set model.queue_start_step=0 to fill the queue from the first step, or model.queue_size to have one.",
        )
    if negatives and isinstance(mixing, SoftLabelMixing) and mixing.side == "anchors":
        raise UserError(
            "negatives from the queue with anchors that keep their own relevance",
            "model.queue_negatives=true with SoftLabelMixing of anchors",
            "What the queue holds may be relevant to the other part of a mixed anchor: set model.mixing.side=documents.",
        )
