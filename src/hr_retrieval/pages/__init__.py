"""Pages of one file each: what was measured, for a reader with a browser and without a network."""
