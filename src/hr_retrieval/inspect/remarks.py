"""What a person should do before training, that follows from the numbers."""

import math
from collections.abc import Iterator

from hr_retrieval.inspect.findings import Findings
from hr_retrieval.inspect.words import Words

# Queries whose differences in MRR between two encoders have this standard deviation, as in real runs
# of the built-in set (`benchmarks.significance`), tell .01 apart at the level .05 with a power of .8.
_SD, _DIFFERENCE, _LEVEL, _POWER = 0.127, 0.01, 1.96, 0.84
NEEDED = math.ceil(((_LEVEL + _POWER) * _SD / _DIFFERENCE) ** 2)
# Shares from which something is said.
_HALF, _CUT, _REJECTED, _LANGUAGE = 0.5, 0.1, 0.05, 0.2


def remarks(found: Findings, words: Words) -> list[str]:
    """One sentence each, the gravest first."""
    return list(_remarks(found, words))


def _remarks(found: Findings, words: Words) -> Iterator[str]:
    for leak in found.leaks:
        yield words(
            "Leak: {0:,} validation or test queries share a {1} with another split, such as “{2}”.",
            leak.queries,
            words(leak.kind),
            leak.example[:80],
        )
    for name, (queries, _, _) in found.splits.items():
        if queries == 0:
            yield words("The {0} split is empty.", words(name))
        elif name != "train" and queries < NEEDED:
            yield words(
                "The {0} split has {1:,} queries: about {2:,} are needed to tell a difference of .01 in MRR apart from chance.",
                words(name), queries, NEEDED,
            )  # fmt: skip
    text, share = found.commonest
    if share >= _HALF:
        yield words("One query, “{0}”, has {1:.0%} of all right answers.", text[:80], share)
    opening, share = found.opening
    if share >= _HALF and found.documents[0] > 1:
        yield words(
            "{0:.0%} of the documents begin alike: “{1}”. What they share tells the encoder nothing.", share, opening
        )
    if found.documents[1] >= _HALF * found.documents[0]:
        yield words("{0:,} of {1:,} documents have a near-duplicate.", found.documents[1], found.documents[0])
    for side, lengths in found.lengths.items():
        if lengths.cut >= _CUT:
            yield words("{0:.0%} of the {1} are longer than the encoder reads, and are cut.", lengths.cut, words(side))
    used, left_out = sum(positives for _, positives, _ in found.splits.values()), sum(found.rejected.values())
    if left_out >= _REJECTED * (used + left_out):
        yield words("{0:,} rows were left out; the commonest reason: {1}.", left_out, next(iter(found.rejected)))
    total = sum(queries for queries, _, _ in found.splits.values())
    if found.groups[1] >= _HALF * total and total > 1:
        yield words("The largest group holds {0:,} of {1:,} queries.", found.groups[1], total)
    for name in ("validation", "test"):
        shares = found.languages.get(name, {})
        far = [
            script
            for script, own in shares.items()
            if abs(own - found.languages.get("train", {}).get(script, 0.0)) >= _LANGUAGE
        ]
        if far and "train" in found.languages:
            yield words(
                "The {0} split is of other languages than training: {1}.", words(name), ", ".join(map(words, far))
            )
