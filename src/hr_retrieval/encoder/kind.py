"""What a folder in the layout of Sentence Transformers is of: an encoder, or a cross-encoder."""

import re
from pathlib import Path

from hr_retrieval.encoder.safety import listed_modules, stated
from hr_retrieval.errors import UserError

# What the library writes beside a transformer.
OF_THE_LIBRARY = re.compile(r"modules\.json|sentence_[\w-]+_config\.json|config_sentence_transformers\.json")


def kind_of(folder: Path) -> str:
    """The class of Sentence Transformers that a folder is of: SentenceTransformer, CrossEncoder or another one.

    Its own list of modules says it; without one, the architecture of the transformer does.
    """
    if not (folder / "modules.json").exists():
        named = stated(folder / "config.json", "architectures")
        if isinstance(named, list) and any(str(name).endswith("ForSequenceClassification") for name in named):
            return "CrossEncoder"
    return str(stated(folder / "config_sentence_transformers.json", "model_type") or "SentenceTransformer")


def check_encoder(folder: Path) -> None:
    """Raise `UserError` unless what is in a folder gives a vector of a text."""
    kind = kind_of(folder)
    if kind == "CrossEncoder":
        raise UserError(
            f"an encoder in {folder}, which gives a vector of each text",
            "a cross-encoder, which scores a query and a document together",
            "Name an encoder here. A cross-encoder orders the best documents anew (rerank=<folder>), teaches "
            "(callbacks.mine_negatives.teacher=<folder>), or is trained itself (experiment=cross_encoder "
            "model.cross_encoder.name_or_path=<folder>).",
        )
    if kind != "SentenceTransformer":
        raise UserError(f"an embedding model in {folder}", f"a {kind}", "Use a model of type SentenceTransformer.")


def transformer_of(folder: Path) -> Path:
    """The folder of the transformer that reads the texts, which is all that a cross-encoder is made of."""
    if not (folder / "modules.json").exists():
        return folder
    listed = listed_modules(folder)
    names = [name for name, _ in listed]
    if names[:1] != ["Transformer"] or (kind_of(folder) == "CrossEncoder" and len(names) > 1):
        raise UserError(
            f"a cross-encoder that is one transformer in {folder}", ", ".join(names) or "none", "Name another one."
        )
    return listed[0][1]
