"""From raw files to batches: readers, cleaning, splitting, tokens, sampling."""
