"""A prepared data set looked at before training: one page that a person reads."""
