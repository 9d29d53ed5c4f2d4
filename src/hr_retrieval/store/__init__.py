"""The index folder: passages with their embeddings and what is said of their documents, and what is found in them."""
