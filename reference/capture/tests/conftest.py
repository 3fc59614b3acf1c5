"""Makes the package importable wherever pytest is started, and captures one small file for all tests that read one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REFERENCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REFERENCE))


class Command:
    """`python -m capture` as a user runs it."""

    def __call__(self, *arguments: object, path_first: Path | None = None, **options) -> subprocess.CompletedProcess:
        search_path = os.pathsep.join(map(str, filter(None, [path_first, REFERENCE])))
        environment = dict(os.environ, PYTHONPATH=search_path)
        program = [sys.executable, "-m", "capture", *map(str, arguments)]
        return subprocess.run(program, capture_output=True, text=True, env=environment, **options)


@pytest.fixture(scope="session")
def command() -> Command:
    return Command()


@pytest.fixture(scope="session")
def small_file(tmp_path_factory: pytest.TempPathFactory, command: Command) -> Path:
    """Sixty cases of f32 and bf16 in one file, all paths, on avx2 with two threads."""
    path = tmp_path_factory.mktemp("small") / "small.h5"
    result = command("--out", path, *SMALL)
    assert result.returncode == 0, result.stderr
    return path


SMALL = ("--cases", 60, "--dtype", "f32", "bf16", "--capability", "avx2", "--threads", 2)


@pytest.fixture(scope="session")
def small_options() -> tuple:
    """The options that `small_file` was made with, but --out."""
    return SMALL
