"""The verb `search`: one query, or a résumé, against an index."""
