"""Speed against peers, both sides in one run: python -m benchmarks.all, or one by one."""
