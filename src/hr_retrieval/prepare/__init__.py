"""From a raw source to a prepared data set."""
