"""Packages that only some verbs need, as extras of this one."""

import importlib.util

from hr_retrieval.errors import UserError

# What the extra `onnx` brings.
ONNX = ("onnx", "onnxscript", "onnxruntime")


def check_extra(extra: str, *packages: str) -> None:
    """Raise `UserError`, with the command that installs them, unless all these packages of an extra are there."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"the package {package}",
                "no such package in this environment",
                f"Install it: pip install -e '.[{extra}]'.",
            )
