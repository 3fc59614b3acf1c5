"""sgd-bench vs-torch as a person starts it.  No test looks at a time: those are the machine's."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import pytest

CHECKOUT = pathlib.Path(__file__).parents[3]
BENCH = pathlib.Path(os.environ.get("SGD_BENCH", CHECKOUT / "build/default/bench/sgd-bench"))
QUICK = ["--min-time=0.0001", "--repetitions=6"]


@pytest.fixture
def bench(tmp_path):
    """Starts it with shape sets of its own, and modules that hide others."""
    shapes = tmp_path / "shapes"
    shapes.mkdir()
    (shapes / "tiny.txt").write_text("weight 8x3\n3 * bias 5\n")
    (shapes / "resnet50.txt").write_text("weight 64x3\nbias 24\n")
    (shapes / "many-small.txt").write_text("9 * weight 64\n")

    def start(*arguments, modules=None, program=None, **environment):
        folder = tmp_path / "modules"
        for name, text in (modules or {}).items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / "__init__.py").write_text(text)
        command = [BENCH, "vs-torch"] if program is None else [sys.executable, "-c", program]
        path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
        return subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={
            **os.environ, "SGD_SHAPES": str(shapes), "PYTHONPATH": path, "EXACTSGD_PYTHON": sys.executable, **environment})

    def run(*arguments, **options):
        process = start(*arguments, **options)
        process.stdout_text, process.stderr_text = process.communicate(timeout=300)
        return process

    run.start = start
    return run


def rows_of(done, title):
    """The lines of the last block."""
    return done.stdout_text.split(title)[-1].splitlines()


def test_everything_beside_pytorch(bench, tmp_path):
    file, markdown = tmp_path / "result.json", tmp_path / "table.md"
    done = bench("--shapes=tiny", "--filter=*/f32/*", "--threads=1", *QUICK, f"--json={file}", f"--markdown={markdown}")
    assert (done.returncode, done.stderr_text) == (0, "")
    document = json.loads(file.read_text())
    assert document["context"]["versions"]["torch"].startswith("2.13.0")
    runs = [entry for entry in document["benchmarks"] if entry["run_type"] == "iteration" and entry["path"] != "limit"]
    assert {(entry["path"], entry["implementation"]) for entry in runs} == {
        (path, implementation) for path in ("forloop", "foreach", "fused")
        for implementation in ("torch", "python", "single_pass", "by_op") if (path, implementation) != ("fused", "by_op")}
    assert {entry["bits"] for entry in runs} == {"equal"}
    assert {entry["implementation"]: entry["hash"] for entry in runs if entry["path"] == "fused"}.keys() >= {"torch", "python"}
    table = done.stdout_text
    assert "tiny f32, 1 thread: 4 tensors, 39 elements" in table
    assert "times as fast as PyTorch's default" in table and "drop-in: " in table
    assert max(map(len, table.splitlines())) <= 100
    assert "| forloop | python |" in markdown.read_text()


def test_default_is_resnet50_and_many_small_in_f32(bench):
    done = bench("--list")
    assert (done.returncode, done.stderr_text) == (0, "")
    names = [line.split("/") for line in done.stdout_text.splitlines()]
    assert {name[3] for name in names} == {"resnet50", "many-small"}
    assert {name[2] for name in names} == {"f32"}
    assert {name[1] for name in names} == {"torch", "python", "single_pass", "by_op"}  # compiled only where asked for
    assert "threads:1" in {name[-1] for name in names}


def test_compiled_is_offered_where_asked_for(bench):
    assert "/compiled/" in bench("--list", "--compiled").stdout_text


def test_pytorch_s_defect_is_part_of_its_bits(bench):
    done = bench("--shapes=tiny", "--filter=fused/*/bf16/*", "--threads=1", *QUICK)
    assert done.returncode == 0, done.stderr_text
    rows = {tuple(line.split()[:2]): line.split()[-1] for line in rows_of(done, "tiny bf16, 1 thread") if line}
    assert rows["fused", "torch"] == "equal*" and rows["fused", "single_pass"] == "equal"


@pytest.mark.parametrize("text, words", [("raise ImportError('no torch here')", "PyTorch cannot be imported"),
                                         ("__version__ = '2.12.1+cpu'; Tensor = float", "PyTorch is 2.12.1+cpu, not 2.13.0")])
def test_without_the_right_pytorch_the_rest_runs(bench, text, words):
    done = bench("--shapes=tiny", "--filter=*/f32/*", "--threads=1", *QUICK, modules={"torch": text})
    assert done.returncode == 0, done.stderr_text
    assert done.stderr_text.count("\n") == 1 and words in done.stderr_text and "left out" in done.stderr_text
    assert "single_pass" in done.stdout_text and "python" not in done.stdout_text.split("tiny f32, 1 thread")[-1]


def test_without_the_drop_in_the_rest_runs(bench):
    done = bench("--shapes=tiny", "--filter=*/f32/*", "--threads=1", *QUICK,
                 modules={"exactsgd": "raise ImportError('not built')"})
    assert done.returncode == 0, done.stderr_text
    assert done.stderr_text == "sgd-bench: exactsgd cannot be imported (not built): the drop-in's columns are left out\n"
    assert " torch " in done.stdout_text


def test_a_python_package_is_missing(bench):
    name = "fastjsonschema"
    done = bench(modules={name: f"raise ModuleNotFoundError('No module named {name}', name='{name}')"})
    assert (done.returncode, done.stdout_text) == (2, "")
    assert done.stderr_text.count("\n") == 1 and f"vs-torch needs the Python package {name}" in done.stderr_text


def test_no_python(bench):
    done = bench(EXACTSGD_PYTHON="/nonexistent/python")
    assert (done.returncode, done.stdout_text) == (2, "")
    assert done.stderr_text.count("\n") == 1 and "/nonexistent/python" in done.stderr_text


WITH_A_CLASS = """
import sys
from sgd_bench import contestants, vs_torch

class {name}(contestants.Contestant):
{body}

contestants.IMPLEMENTATIONS["torch"] = {name}
sys.exit(vs_torch.main(sys.argv[1:]))
"""


def with_class(name, body):
    return {"program": WITH_A_CLASS.format(name=name, body=textwrap.indent(textwrap.dedent(body), "    ")),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(CHECKOUT / "bench/python"), os.environ.get("PYTHONPATH")])),
            "SGD_BENCH_LIBRARY": str(BENCH.with_name("libsgd_bench.so"))}


def test_a_fast_wrong_answer_is_wrong(bench):
    wrong = with_class("Wrong", """
        def make(self, **options):
            return super().make(**{**options, "momentum": options["momentum"] + 1e-7})
        """)
    done = bench("--shapes=tiny", "--filter=forloop/*/f32/*", "--threads=1", *QUICK, **wrong)
    assert done.returncode == 1
    assert ["forloop", "torch", "WRONG"] in [line.split() for line in rows_of(done, "tiny f32, 1 thread")]


def test_a_step_that_raises_is_a_failure(bench):
    broken = with_class("Broken", """
        def make(self, **options):
            made = super().make(**options)
            made.register_step_pre_hook(self.raise_)
            return made

        def raise_(self, *_):
            raise RuntimeError("out of luck")
        """)
    done = bench("--shapes=tiny", "--filter=forloop/*/f32/*", "--threads=1", *QUICK, **broken)
    assert done.returncode == 1
    assert "RuntimeError: out of luck" in done.stdout_text + done.stderr_text


def until_it_worked_for(process, seconds):
    """Waits for so much processor time, which a busy machine does not change."""
    deadline = time.monotonic() + 120
    spent = 0
    while spent < seconds and time.monotonic() < deadline:
        time.sleep(0.1)
        fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        spent = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_ctrl_c_leaves_what_was_measured(bench, tmp_path):
    file = tmp_path / "result.json"
    process = bench.start("--shapes=tiny", "--filter=forloop/*/f32/*", "--threads=1", "--min-time=0.3", "--repetitions=500",
                          f"--json={file}")
    until_it_worked_for(process, 6)  # imports and checks take half of that
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    document = json.loads(file.read_text())
    assert document["context"]["partial"] is True
    assert any(entry["run_type"] == "iteration" for entry in document["benchmarks"])
    assert "ended early" in out


@pytest.mark.parametrize("arguments", [["--shapes=nothing"], ["--unknown"], ["--figures", "--shapes=tiny"]])
def test_what_cannot_be_run(bench, arguments):
    done = bench(*arguments)
    assert (done.returncode, done.stdout_text) == (2, "")
    assert "sgd-bench" in done.stderr_text
