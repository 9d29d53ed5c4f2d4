"""A cross-encoder that reads the query and a passage together, for the best documents."""

from collections.abc import Sequence
from pathlib import Path

from hr_retrieval.encoder.safety import check_folder
from hr_retrieval.errors import UserError


class Reranker:
    """A cross-encoder's folder, as Sentence Transformers writes it.

    Raises:
        UserError: there is no such folder, or it holds what is not safe to load.
    """

    def __init__(self, folder: str) -> None:
        if not Path(folder).is_dir():
            raise UserError("the folder of a cross-encoder", folder, "Name a folder on this machine, or rerank=null.")
        check_folder(Path(folder))
        from sentence_transformers import CrossEncoder

        try:
            self._model = CrossEncoder(
                folder, num_labels=1, local_files_only=True, model_kwargs={"use_safetensors": True}
            )
        except (OSError, ValueError, RuntimeError) as error:
            said = " ".join(str(error).split())[:200].rstrip(".")
            raise UserError(
                f"a cross-encoder with one score in {folder}", said, "Name another, or rerank=null."
            ) from None

    def scores(self, query: str, passages: Sequence[str]) -> list[float]:
        """A score of each passage; higher is better."""
        if not passages:
            return []
        found: list[float] = self._model.predict([(query, passage) for passage in passages]).tolist()
        return found
