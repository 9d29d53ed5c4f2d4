"""What training, encoding and evaluation take on a GPU, in one script that needs no network."""

import os

# Before any library is imported: where the peer's flash attention is missing, transformers would
# ask a hub for it.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
