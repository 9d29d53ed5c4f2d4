"""Texts to unit vectors: encoder folders in and out."""
