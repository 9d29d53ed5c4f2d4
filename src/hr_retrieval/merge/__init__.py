"""One encoder from the weights of several runs."""
