"""The machine that figures are taken on, and how quiet it is."""

import os
import platform
import time
from pathlib import Path

import torch


def machine() -> str:
    """Processor, cores, torch and its threads, in one line; the accelerator too where there is one."""
    accelerator = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    return (
        f"{accelerator}{_processor()}, {os.cpu_count()} cores, {platform.system()}; "
        f"Python {platform.python_version()}, torch {torch.__version__}, {torch.get_num_threads()} threads"
    )


class Quiet:
    """Watches from now on how busy other processes keep the machine."""

    def __init__(self) -> None:
        self._used, self._begun = _others_cpu_seconds(), time.perf_counter()

    def others(self) -> float:
        """CPU seconds that others used for each second since then."""
        return max(0.0, _others_cpu_seconds() - self._used) / (time.perf_counter() - self._begun)


def _others_cpu_seconds() -> float:
    """CPU seconds of the whole machine but for this process; 0 where /proc does not exist."""
    statistics_file = Path("/proc/stat")
    if not statistics_file.exists():
        return 0.0
    user, nice, system, _, _, interrupts, soft_interrupts = map(int, statistics_file.read_text().split()[1:8])
    ticks = user + nice + system + interrupts + soft_interrupts
    own = os.times()
    return ticks / os.sysconf("SC_CLK_TCK") - own.user - own.system


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
