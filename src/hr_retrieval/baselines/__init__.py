"""Rankings by shared words, without training."""
