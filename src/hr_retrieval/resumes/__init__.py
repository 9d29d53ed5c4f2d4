"""Files that people send, PDF, DOCX and plain text, to the text in them."""
