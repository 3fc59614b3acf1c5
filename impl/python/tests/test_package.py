"""The package as a package."""

import subprocess
import sys
from pathlib import Path

import exactsgd


def test_types_are_wrong() -> None:
    checkout = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_names_are_missing() -> None:
    assert all(hasattr(exactsgd, name) for name in exactsgd.__all__)
    assert exactsgd.SGD.__name__ == "SGD" and not hasattr(exactsgd, "Adam")
