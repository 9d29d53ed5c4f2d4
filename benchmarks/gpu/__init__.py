"""What training, encoding and evaluation take on a GPU, in one script that needs no network."""
