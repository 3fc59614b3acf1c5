"""What would be broken: a user's mistake that ends in a traceback, a partial file, or a lost one."""

import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from capture.reading import read
from capture.undefined import undefined_after
from helpers import plain_data, without_chance

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "capture"
FEW = ("--cases", 3, "--dtype", "f32", "--capability", "avx2", "--threads", 1)


def assert_one_line(result: subprocess.CompletedProcess, *words: str) -> None:
    assert result.returncode == 2
    assert result.stderr.startswith("capture: ") and result.stderr.count("\n") == 1, result.stderr
    assert all(word in result.stderr for word in words), result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("arguments, words", [
    (("--dtype", "f33"), ("--dtype", "f33", "f64")),
    (("--path", "sideways"), ("--path", "sideways")),
    (("--capability", "neon"), ("--capability", "neon")),
    (("--threads", "0"), ("--threads", "0")),
    (("--cases", "0"), ("--cases", "0")),
    (("--seed", "-1"), ("--seed", "-1")),
    (("--seed", "one"), ("--seed", "one")),
    (("--colour", "red"), ("--colour",)),
    (("--feature", "sideways"), ("--feature", "sideways", "tensor-lr")),
    (("--feature", "complex", "--dtype", "f32"), ("--feature complex", "c64, c128")),
    (("--dtype", "c64"), ("--feature plain", "f64, f32, f16, bf16")),
])
def test_an_option_that_is_not_understood(command, tmp_path, arguments, words):
    assert_one_line(command("--out", tmp_path / "x.h5", *arguments), *words)
    assert list(tmp_path.iterdir()) == []


def test_no_out(command):
    assert_one_line(command("--cases", 3), "--out")


def test_a_folder_that_is_not_there(command, tmp_path):
    assert_one_line(command("--out", tmp_path / "missing" / "x.h5"), str(tmp_path / "missing"), "no such folder")


def test_a_folder_that_is_a_file(command, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert_one_line(command("--out", tmp_path / "file" / "x.h5"), str(tmp_path / "file"), "no such folder")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_device_is_not_replaced(command):
    assert_one_line(command("--out", "/dev/full", *FEW), "/dev/full", "neither a file nor a folder")
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(command, tmp_path):
    tmp_path.chmod(0o555)
    assert_one_line(command("--out", tmp_path / "x.h5"), str(tmp_path), "cannot be written to")


def test_a_disk_that_fills_up_leaves_the_old_file_and_no_other(command, tmp_path):
    (tmp_path / "x.h5").write_text("old")
    result = command("--out", tmp_path / "x.h5", *FEW, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)))
    assert_one_line(result, str(tmp_path / "x.h5"), "File too large")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("x.h5", "old")]


@pytest.mark.parametrize("module, words", [
    ("raise ModuleNotFoundError(\"No module named 'torch'\")", ("torch", "cannot be imported", "2.13.0 is needed")),
    ("__version__ = '2.12.1+cpu'", ("torch", "2.12.1+cpu", "2.13.0 is needed")),
])
def test_torch_is_missing_or_another(command, tmp_path, module, words):
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "torch.py").write_text(module)
    assert_one_line(command("--out", tmp_path / "x.h5", *FEW, path_first=tmp_path / "path"), *words)
    assert not (tmp_path / "x.h5").exists()


@pytest.mark.parametrize("name", ["numpy", "h5py", "xxhash"])
def test_another_module_is_missing(command, tmp_path, name):
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / f"{name}.py").write_text(f"raise ModuleNotFoundError(\"No module named '{name}'\", name='{name}')")
    assert_one_line(command("--out", tmp_path / "x.h5", *FEW, path_first=tmp_path / "path"), name, sys.executable)


def test_the_script_runs_from_any_folder(tmp_path):
    environment = dict(os.environ, EXACTSGD_PYTHON=sys.executable)
    result = subprocess.run([SCRIPT, "--out", ".", *map(str, FEW)], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["torch-2.13.0-cpu-f32.h5"]
    attributes = read(tmp_path / "torch-2.13.0-cpu-f32.h5").attributes
    assert attributes["command"].startswith("scripts/capture --seed 1 --cases 3 --feature plain --dtype f32 ")
    assert attributes["command"].endswith(" --out torch-2.13.0-cpu-f32.h5")


def test_a_folder_gets_a_file_for_each_dtype_and_each_feature(command, tmp_path):
    result = command("--out", tmp_path, "--cases", 4, "--feature", "plain", "amp", "mixed", "--dtype", "f32", "bf16", "--capability", "avx2")
    assert result.returncode == 0, result.stderr
    files = {path.name.removeprefix("torch-2.13.0-cpu-"): read(path) for path in tmp_path.iterdir()}
    assert {name: {problem.feature for problem in contents.problems} for name, contents in files.items()} == {
        "f32.h5": {"plain"}, "bf16.h5": {"plain"}, "amp.h5": {"amp"}, "mixed.h5": {"mixed"}}
    assert " --feature mixed --dtype f32 bf16 " in files["mixed.h5"].attributes["command"]


def test_the_script_names_a_python_that_is_not_there(tmp_path):
    environment = dict(os.environ, EXACTSGD_PYTHON="/nowhere/python")
    result = subprocess.run([SCRIPT, "--out", tmp_path], capture_output=True, text=True, env=environment)
    assert_one_line(result, "/nowhere/python", "EXACTSGD_PYTHON")


def test_two_captures_are_equal_but_for_what_pytorch_leaves_to_chance(command, tmp_path, small_file, small_options):
    again = tmp_path / small_file.name
    assert command("--out", again, *small_options).returncode == 0
    first, second = read(small_file), read(again)
    assert first.attributes == second.attributes
    for one, other in zip(first.cases, second.cases, strict=True):
        assert (one.problem, one.run) == (other.problem, other.run)
        problem = first.problems[one.problem]
        chance = undefined_after(problem, one.run.threads) if one.run.path == "fused" else None
        assert without_chance(one.outcome, chance) == without_chance(other.outcome, chance)


def test_two_captures_without_the_fused_path_are_equal_byte_for_byte(command, tmp_path):
    paths = [tmp_path / folder / "x.h5" for folder in ("one", "two")]
    for path in paths:
        path.parent.mkdir()
        result = command("--out", path, "--cases", 40, "--dtype", "f16", "--path", "forloop", "foreach", "--capability", "avx2")
        assert result.returncode == 0, result.stderr
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_small_file_is_whole(small_file):
    contents = read(small_file)
    assert len(contents.cases) == 60
    assert {problem.dtype.name for problem in contents.problems} == {"f32", "bf16"}
    assert plain_data(small_file)["@schema"]
