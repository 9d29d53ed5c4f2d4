"""Encoder, mixing, loss and the Lightning module that joins them."""
