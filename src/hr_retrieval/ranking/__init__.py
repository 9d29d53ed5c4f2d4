"""Texts and training queries as mixing at ranking time takes them: in numbers."""
