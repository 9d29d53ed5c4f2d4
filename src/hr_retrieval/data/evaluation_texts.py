"""The texts of evaluation sets in batches, to be embedded and ranked."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from hr_retrieval.data.arrays import Places
from hr_retrieval.data.batch import EvaluationBatch
from hr_retrieval.data.evaluation_set import EvaluationSet
from hr_retrieval.data.tokens import TokenTable
from hr_retrieval.encoder.wording import Kind
from hr_retrieval.errors import UserError

_KINDS: tuple[Kind, ...] = ("query", "document")


class EvaluationTexts(Dataset[EvaluationBatch]):
    """The texts of the evaluation set of each source in batches of similar length and about `tokens` tokens each.

    There are at least `processes` batches, since Lightning leaves the validation out on a process
    that has none.

    Raises:
        UserError: there are more processes than texts.
    """

    def __init__(
        self,
        evaluations: Sequence[EvaluationSet],
        tables: Sequence[tuple[TokenTable, TokenTable]],
        tokens: int,
        processes: int = 1,
    ) -> None:
        self.tables = [dict(zip(_KINDS, own, strict=True)) for own in tables]
        self.rows = [
            {"query": evaluation.query_rows, "document": evaluation.document_rows} for evaluation in evaluations
        ]
        self.batches: list[tuple[int, Kind, Places]] = []
        for source, (own, rows) in enumerate(zip(self.tables, self.rows, strict=True)):
            for kind in _KINDS:
                lengths = own[kind].lengths(rows[kind])
                order = np.argsort(lengths, kind="stable")
                number = np.cumsum(lengths[order]) // tokens
                cuts = np.flatnonzero(np.diff(number)) + 1
                self.batches += [(source, kind, part) for part in np.split(order, cuts) if len(part)]
        while len(self.batches) < processes:
            largest = max(range(len(self.batches)), key=lambda number: len(self.batches[number][2]))
            source, kind, part = self.batches[largest]
            if len(part) < 2:
                raise UserError(
                    f"at most {len(self.batches)} processes, as many as the {evaluations[0].split} split has texts",
                    str(processes),
                    "Lower trainer.devices or trainer.num_nodes.",
                )
            self.batches[largest : largest + 1] = [(source, kind, half) for half in np.array_split(part, 2)]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> EvaluationBatch:
        source, kind, positions = self.batches[number]
        tokens = self.tables[source][kind].take(self.rows[source][kind][positions])
        return EvaluationBatch(kind, torch.from_numpy(positions), tokens, source)
