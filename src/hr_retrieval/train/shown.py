"""What a model card shows of the texts that a run was measured on."""

from collections import Counter
from typing import Any

from hr_retrieval.data.evaluation_set import EvaluationSet
from hr_retrieval.data.source import Source
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.retrieval.metrics import Embedded, per_query
from hr_retrieval.retrieval.ranking import exact_ranking
from hr_retrieval.text import script

# Queries shown, the first by lot; documents whose words are counted, and words of each.
_EXAMPLES, _SAMPLE, _WORDS = 5, 200, 10
# Letters of a text that are kept.
_LETTERS = 160
_LANGUAGES = {"Cyrillic": "ru", "Latin": "en"}
# A script that so many of the texts are in is named.
_SHARE = 0.1


def shown_texts(source: Source, evaluation: EvaluationSet, ranked: Embedded, encoder: Encoder) -> dict[str, Any]:
    """`languages`, as the scripts of the texts tell them; `tokens_a_word` of the documents; and
    `examples`: a query, the document that ranks first for it, and whether that is right.
    """
    documents = source.dataset.texts_at("corpus", evaluation.document_rows[:_SAMPLE])
    beginnings = [" ".join(text.split()[:_WORDS]) for text in documents]
    tokens, _ = encoder.tokenise([*beginnings, ""], "document")
    counts = tokens.lengths
    words = sum(len(text.split()) for text in beginnings)
    scripts = Counter(script(text) for text in documents)
    return {
        "languages": [
            name for own, name in _LANGUAGES.items() if scripts[own] + scripts["mixed"] >= _SHARE * len(documents)
        ],
        "tokens_a_word": round(float((counts[:-1] - counts[-1]).sum()) / max(words, 1), 2),
        "examples": _examples(source, evaluation, ranked),
    }


def _examples(source: Source, evaluation: EvaluationSet, ranked: Embedded) -> list[dict[str, Any]]:
    rows = ranked.relevance.counts.nonzero().squeeze(1)[:_EXAMPLES]
    relevance = ranked.relevance.take(rows)
    ranking = exact_ranking(ranked.queries[rows], ranked.documents, relevance, 1)
    right = per_query(ranking.ranks.cpu(), relevance.to("cpu"))["pass@1"]
    queries = source.dataset.texts_at("queries", evaluation.query_rows[rows.cpu().numpy()])
    first = source.dataset.texts_at("corpus", evaluation.document_rows[ranking.rows[:, 0].cpu().numpy()])
    return [
        {"query": query[:_LETTERS], "found": found[:_LETTERS], "right": bool(own)}
        for query, found, own in zip(queries, first, right.tolist(), strict=True)
    ]
