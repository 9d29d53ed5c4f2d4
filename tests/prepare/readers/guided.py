"""Inputs that atheris makes by the code that they reach, under the same oracle as those of `test_fuzzed.py`.

    python -m tests.prepare.readers.guided 3600 [xlsx pdf]

Seconds for all kinds together, one behind the other, each in a process of its own (`pip install
atheris`). It begins with sound files and with what is in `seeds/`; an input that fails is left as
`crash-*` in the working directory: once the fault is mended it goes into `seeds/<kind>/`, and
`test_fuzzed.py` reads it from then on.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest


def main() -> None:
    """Run each kind in turn; exit with 1 if one failed."""
    from tests.prepare.readers.fuzzed import KINDS

    seconds, kinds = int(sys.argv[1]), sys.argv[2:] or list(KINDS)
    failed = []
    for kind in kinds:
        command = [sys.executable, "-m", "tests.prepare.readers.guided", "--one", kind, str(seconds // len(kinds))]
        if subprocess.run(command).returncode:
            failed.append(kind)
    print(f"failed: {', '.join(failed) or 'none'}")
    sys.exit(bool(failed))


def _one(kind: str, seconds: str) -> None:
    import atheris

    with atheris.instrument_imports(
        include=["hr_retrieval.prepare", "hr_retrieval.privacy", "hr_retrieval.resumes", "openpyxl", "pypdf", "docx"]
    ):
        from tests.prepare.readers import fuzzed, test_fuzzed

    own = fuzzed.KINDS[kind]
    sound = own.write(fuzzed.SOUND)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for number, name in enumerate(sorted(sound)):
            Path(folder, f"{number}").write_bytes(bytes([number]) + sound[name])
        test_fuzzed.read_resumes_here(patch)
        seeds = [str(place) for place in (test_fuzzed.SEEDS / kind,) if place.is_dir()]
        limits = [f"-max_total_time={seconds}", f"-max_len={fuzzed.MOST}", "-rss_limit_mb=4096", "-timeout=60"]
        atheris.Setup([sys.argv[0], folder, *seeds, *limits], lambda data: test_fuzzed.end_of_part(kind, data))
        atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        _one(sys.argv[2], sys.argv[3])
    else:
        main()
