"""Train text encoders for HR retrieval with embedding mixing and a cosine triplet loss."""

__version__ = "0.1.0"
