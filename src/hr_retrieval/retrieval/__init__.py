"""Exact ranking, the metrics that follow from ranks, and how sure they are."""

# The metrics that are shown first.
HEADLINE = ("mrr", "pass@1", "recall@10")
