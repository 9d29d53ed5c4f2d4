"""Exact ranking, the metrics that follow from ranks, and how sure they are."""
