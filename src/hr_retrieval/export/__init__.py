"""The best encoder of a run as a folder of its own."""
