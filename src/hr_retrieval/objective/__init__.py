"""What training compares: mixing, similarity and loss."""
