"""scripts/upstream-tests: what it counts as passed, and that its redirection reaches every name, and counts both classes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
HERE = Path(__file__).parent / "upstream"
sys.path.insert(0, str(HERE))
redirect, upstream = pytest.importorskip("redirect"), pytest.importorskip("upstream")

CLASSES = """
import torch
from torch.optim import Optimizer
STOCK = torch.optim.SGD
class Own:
    class SGD(Optimizer):
        def __init__(self, params, lr=1e-3): super().__init__(params, {"lr": lr})
        def step(self, closure=None): pass
Own = Own.SGD
class Heir:
    class SGD(STOCK): pass
Heir = Heir.SGD
class Other(STOCK): pass
"""
TESTS = """
import pytest, torch
from torch.optim import SGD
from torch.testing._internal.common_cuda import _create_scaling_case
from torch.testing._internal.common_optimizers import optim_db
def params(): return [torch.nn.Parameter(torch.ones(1))]
def test_steps():
    optimizer = SGD(params(), lr=0.1)
    optimizer.step(), optimizer.step()
def test_every_name_is_bound(): 
    info, = (info for info in optim_db if info.optim_cls.__name__ == "SGD")
    assert SGD is torch.optim.SGD is info.optim_cls
    assert type(_create_scaling_case("cpu")[2]) is SGD
def test_nothing(): pass
def test_schedules():
    optimizer = SGD(params(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    optimizer.step(), scheduler.step()
def test_saves(): SGD(params()).state_dict()
@pytest.mark.skip(reason="of its own")
def test_SGD_skipped(): pass
def test_Adam_is_left_out(): pass
"""


def run(folder: Path, name: str, *flags: str) -> dict:
    (folder / "classes.py").write_text(CLASSES)
    (folder / "test_it.py").write_text(TESTS)
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "redirect", "-p", "no:cacheprovider", "--redirect-class", name,
                    "--redirect-report", "report", "test_it.py", *flags], cwd=folder, check=False, capture_output=True,
                   env=upstream.environment() | {"PYTHONPATH": f"{HERE}:{folder}"})
    return {test.partition("::")[2]: entry for test, entry in upstream.read_report(folder / "report").items()}


def test_both_classes_are_counted(tmp_path):
    own, heir = run(tmp_path, "classes:Own"), run(tmp_path, "classes:Heir")
    assert own["test_steps"]["ours"] == [1, 2] and own["test_steps"]["stock"] == [0, 0] and own["test_steps"]["kernels"] == 0
    assert heir["test_steps"]["ours"] == [1, 2] and heir["test_steps"]["stock"] == [1, 2] and heir["test_steps"]["kernels"] == 2
    assert own["test_schedules"]["ours"] == [1, 1]
    assert own["test_every_name_is_bound"]["outcome"] == "passed" and own["test_SGD_skipped"]["outcome"] == "skipped"
    assert own["test_nothing"]["ours"] == [0, 0] and "test_Adam_is_left_out" not in own


def test_inherited_methods_can_be_forbidden(tmp_path):
    forbidden = run(tmp_path, "classes:Own", "--redirect-forbid-inherited")
    assert "torch.optim.Optimizer.__init__ was called" in forbidden["test_saves"]["why"]


def test_a_crash_is_no_pass(tmp_path):
    (tmp_path / "report").write_text(json.dumps({"test": "t", "outcome": "died"}) + "\n")
    stock = {"outcome": "passed", "why": "", "ours": [1, 1], "stock": [1, 1]}
    tests = upstream.read_report(tmp_path / "report")
    assert upstream.judge(tests["t"], stock, False)[0] == "failed" and upstream.judge(None, stock, False)[0] == "failed"


@pytest.mark.parametrize(("outcome", "ours", "stock", "verdict"), (
    ("passed", [1, 0], [0, 0], "passed"), ("passed", [0, 0], [0, 0], "failed"), ("passed", [1, 1], [0, 1], "failed"),
    ("failed", [1, 1], [0, 0], "failed"), ("skipped", [0, 0], [0, 0], "failed")))
def test_a_pass_counts_only_on_the_class_and_off_the_stock_one(outcome, ours, stock, verdict):
    on_stock = {"outcome": "passed", "why": "", "ours": [1, 1], "stock": [1, 1]}
    entry = {"outcome": outcome, "why": "", "ours": ours, "stock": stock}
    assert upstream.judge(entry, on_stock, False)[0] == verdict


def test_tests_that_fail_or_never_touch_on_stock_are_not_counted():
    assert not upstream.counts("f::C::t_SGD_x", {"outcome": "failed", "ours": [1, 1]})
    assert not upstream.counts("f::C::t", {"outcome": "passed", "ours": [0, 0]})
    assert upstream.counts("f::C::t_SGD_cpu", {"outcome": "skipped", "ours": [0, 0]})
    assert not upstream.counts("f::C::t_ASGD_cpu", {"outcome": "skipped", "ours": [0, 0]})


@pytest.mark.parametrize(("name", "text"), (
    ("nope:SGD", "No module named 'nope'"), ("torch.optim:Nope", "has no class Nope"), ("torch.optim", "MODULE:CLASS is wanted"),
    ("torch.optim:Adam", "must be SGD"), ("torch.nn:Linear", "not a torch.optim.Optimizer")))
def test_a_class_that_cannot_stand_in_is_refused(name, text):
    with pytest.raises(redirect.ClassError, match=re.escape(text)):
        redirect.find_class(name)


def test_an_error_is_one_line_and_2():
    done = subprocess.run([sys.executable, str(HERE / "upstream.py"), "nope:SGD"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr == "upstream-tests: nope:SGD: No module named 'nope'\n"
