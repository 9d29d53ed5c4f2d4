"""Personal data in texts: found by kind, and replaced by the name of the kind."""
