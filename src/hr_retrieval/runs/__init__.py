"""Run directories: what lies in one, and going on with it."""
