"""Searches over settings by Optuna."""
