"""An encoder measured on a prepared data set."""
