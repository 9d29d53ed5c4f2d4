"""A training from its config to its report."""
