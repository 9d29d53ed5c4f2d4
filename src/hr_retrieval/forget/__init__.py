"""A person taken out of what was made: prepared data sets, indexes and run directories."""
