"""How long encoding and search take."""
