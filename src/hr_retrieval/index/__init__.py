"""The verb `index`: documents and their embeddings in a folder that can be searched."""
