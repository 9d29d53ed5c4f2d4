"""What every test may use."""

import os

# Two worker processes on few cores: one thread each is faster than sharing, and figures do not depend on the machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
