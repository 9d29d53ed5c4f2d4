"""What encoders are called, and which languages the known ones read, as their own cards say."""

from pathlib import Path

_MANY = "about 100 languages, Russian among them"
# By the end of the name on the hub.
_LANGUAGES = {
    "all-MiniLM-L6-v2": "English",
    "paraphrase-multilingual-mpnet-base-v2": "about 50 languages, Russian among them",
    "LaBSE": "109 languages, Russian among them",
    "multilingual-e5-small": _MANY,
    "multilingual-e5-base": _MANY,
    "multilingual-e5-large": _MANY,
    "xlm-roberta-base": _MANY,
    "bert-base-multilingual-cased": "104 languages, Russian among them",
    "distilbert-base-multilingual-cased": "104 languages, Russian among them",
    "roberta-base": "English",
    "ModernBERT-base": "English",
    "EuroBERT-210m": "15 languages, Russian among them",
    "Qwen3-Embedding-0.6B": _MANY,
}


def languages(name: str) -> str | None:
    """The languages of an encoder by its name; `None` for one that is not known here."""
    return _LANGUAGES.get(short_name(name))


def short_name(name: str) -> str:
    """What an encoder is called: the end of its name on the hub, or the last part of its path."""
    return Path(name).name.rsplit(":", 1)[-1]
