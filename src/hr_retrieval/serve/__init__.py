"""The verb `serve`: a page and an API over an index."""
