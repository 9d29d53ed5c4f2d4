"""The texts of an evaluation set in batches, to be embedded and ranked."""

import numpy as np
import torch
from torch.utils.data import Dataset

from hr_retrieval.data.arrays import Places
from hr_retrieval.data.batch import EvaluationBatch
from hr_retrieval.data.evaluation_set import EvaluationSet
from hr_retrieval.data.tokens import Kind, TokenTable
from hr_retrieval.errors import UserError


class EvaluationTexts(Dataset[EvaluationBatch]):
    """The texts of an evaluation set in batches of similar length and about `tokens` tokens each.

    There are at least `processes` batches, since Lightning leaves the validation out on a process
    that has none.

    Raises:
        UserError: there are more processes than texts.
    """

    def __init__(
        self,
        evaluation: EvaluationSet,
        query_tokens: TokenTable,
        document_tokens: TokenTable,
        tokens: int,
        processes: int = 1,
    ) -> None:
        self.evaluation = evaluation
        self.tables = {"query": query_tokens, "document": document_tokens}
        self.rows = {"query": evaluation.query_rows, "document": evaluation.document_rows}
        self.batches: list[tuple[Kind, Places]] = []
        kinds: tuple[Kind, ...] = ("query", "document")
        for kind in kinds:
            lengths = self.tables[kind].lengths(self.rows[kind])
            order = np.argsort(lengths, kind="stable")
            number = np.cumsum(lengths[order]) // tokens
            cuts = np.flatnonzero(np.diff(number)) + 1
            self.batches += [(kind, part) for part in np.split(order, cuts) if len(part)]
        while len(self.batches) < processes:
            largest = max(range(len(self.batches)), key=lambda number: len(self.batches[number][1]))
            kind, part = self.batches[largest]
            if len(part) < 2:
                raise UserError(
                    f"at most {len(self.batches)} processes, as many as the {evaluation.split} split has texts",
                    str(processes),
                    "Lower trainer.devices or trainer.num_nodes.",
                )
            self.batches[largest : largest + 1] = [(kind, half) for half in np.array_split(part, 2)]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> EvaluationBatch:
        kind, positions = self.batches[number]
        tokens = self.tables[kind].take(self.rows[kind][positions])
        return EvaluationBatch(kind, torch.from_numpy(positions), tokens)
