"""What sgd-bench report computes, writes and refuses; how the page behaves is test_report.py's."""
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import xml.etree.ElementTree as tree

import made_results
import pytest
from made_results import spoil, write
from sgd_bench import report
from sgd_bench.results import Unusable, load
from sgd_bench.units import count, percent, size, time, times

PACKAGE = pathlib.Path(__file__).parents[1]


def command(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    return subprocess.run([sys.executable, "-m", "sgd_bench", "report", *map(str, arguments)], capture_output=True, text=True,
                          env=environment, **options)


def test_numbers(tmp_path):
    run = load(write(tmp_path, made_results.small()))
    case = next(case for case in run.cases if case.name == "forloop/single_pass/f32/resnet50/threads:1")
    base = next(case for case in run.cases if case.name == "forloop/torch/f32/resnet50/threads:1")
    assert case.ratio.value == pytest.approx(base.ns / case.ns)
    assert case.ratio.low <= case.ratio.value <= case.ratio.high
    assert case.footprint == 3 * 4 * 25_557_032
    assert len(run.cases) == 280 and len(run.limits) == 20
    rows = {row["implementation"]: row for row in report.summary(run)}
    assert rows["by_op"]["pairs"] == 2 * 5 * 2 * 2 and rows["single_pass"]["pairs"] == 3 * 5 * 2 * 2


@pytest.mark.parametrize("text, expected", [
    (time(12.3456), "12.3 ns"), (time(999), "999 ns"), (time(45e6), "45.0 ms"), (time(1.5e9), "1.50 s"), (time(None), "–"),
    (size(0), "0 B"), (size(1536), "1.50 KiB"), (size(None), "–"), (percent(0.934), "93 %"),
    (percent(0.012), "1.2 %"), (percent(0), "0 %"), (times(2.414), "2.41×"), (times(24.14), "24.1×"), (times(241.4), "241×"),
    (count(25_557_032), "25.6 M"), (count(4096), "4,096"),
])
def test_units(text, expected):
    assert text == expected


# The small picture.

def test_plot(tmp_path):
    document = made_results.small()
    document["context"]["machine"]["cpu"] = hostile = "<b>\"&'{{7*7}}"
    out = tmp_path / "ratio.svg"
    assert report.main([str(write(tmp_path, document)), "--plot", str(out)]) == 0
    root = tree.parse(out).getroot()
    words = "".join(root.itertext())
    assert hostile in words and "2026-11-27" in words and "1 thread," in words and "resnet50" in words and "ladder" not in words
    assert len(root.findall(".//{*}g")) == 2 * 2 * 3
    assert out.stat().st_size < 60_000


def test_plot_needs_pytorch(tmp_path):
    document = made_results.small()
    document["benchmarks"] = [entry for entry in document["benchmarks"] if entry.get("implementation") != "torch"]
    refused(command(write(tmp_path, document), "--plot", tmp_path / "ratio.svg"), "no ratio to PyTorch")
    assert not (tmp_path / "ratio.svg").exists()


# What is refused.

def refused(result, *words):
    assert result.returncode == 2, result
    assert re.fullmatch(r"sgd-bench: [^\n]+\n", result.stderr), result.stderr
    assert not result.stdout
    for word in words:
        assert word in result.stderr


def test_one_line_for_unusable_files(tmp_path):
    good = made_results.small(dtypes=("f32",), threads=(1,))
    text = json.dumps(good)
    out = tmp_path / "report.html"
    unknown = {**good, "context": {**good["context"], "schema": "exactsgd-bench/99\nand more"}}
    foreign = {"context": {"date": "2026", "num_cpus": 2}, "benchmarks": [{"name": "BM_x", "real_time": 1}]}
    files = {"unknown": (json.dumps(unknown), "exactsgd-bench/99"), "foreign": (json.dumps(foreign), "Google Benchmark's"),
             "prose": ("all is well", "not JSON"), "empty": ("", "not JSON"), "cut": (text[:len(text) // 2], "cut off?"),
             "list": ("[1, 2]", "not a result"), "number": ("7", "not a result"), "deep": ("[" * 100_000, "not"),
             "none": (json.dumps({**good, "benchmarks": []}), "no benchmark")}
    for name, (content, word) in files.items():
        path = tmp_path / name
        path.write_text(content)
        refused(command(path, "--out", out), str(path), word)
    (tmp_path / "binary").write_bytes(b"\x89HDF\xff\xfe")
    refused(command(tmp_path / "binary", "--out", out), "not a text file")
    refused(command(tmp_path / "absent", "--out", out), "No such file")
    refused(command(tmp_path, "--out", out), "Is a directory")
    refused(command(write(tmp_path, good), tmp_path / "absent", "--out", out), "absent: No such file")
    assert not out.exists()


@pytest.mark.parametrize("where, value", [
    ("real_time", "soon"), ("threads", 0), ("threads", "1"), ("time_unit", "weeks"), ("bits", "mostly"), ("path", None),
    ("dtype", 32), ("GB_per_s", [1]), ("tensors", {}),
])
def test_entries_that_make_no_sense(tmp_path, where, value):
    document = made_results.small(dtypes=("f32",), threads=(1,))
    document["benchmarks"][20][where] = value
    with pytest.raises(Unusable, match=rf"benchmarks\[20\]\.{where} "):
        load(write(tmp_path, document))


def test_head_that_makes_no_sense(tmp_path):
    for changes in ({"machine": {"cpu": 7}}, {"machine": {"cpu": "x", "memory_bytes": "all"}}, {"machine": None},
                    {"effort": {"repetitions": "many"}}, {"versions": {"torch": 2.13}}, {"partial": "no"}, {"date": 20261127},
                    {"noise": {"figure": "loud"}}):
        document = made_results.small(dtypes=("f32",), threads=(1,), **changes)
        with pytest.raises(Unusable, match=r"json: context\.\w+"):
            load(write(tmp_path, document))


def test_the_least_that_a_file_can_say(tmp_path):
    entry = {"run_name": "fused/single_pass/f32/x/threads:1", "run_type": "iteration", "path": "fused",
             "implementation": "single_pass", "dtype": "f32", "shapes": "x", "threads": 1}
    document = {"context": {"schema": "exactsgd-bench/2", "date": "2026", "machine": {"cpu": "x"}}, "benchmarks": [entry]}
    out = tmp_path / "report.html"
    for case in (entry, {**entry, "real_time": 1.0, "dtype": "f8"}, {**entry, "real_time": float("nan")}):
        document["benchmarks"] = [case]
        assert report.main([str(write(tmp_path, document)), "--out", str(out)]) == 0
        assert ("no time was measured" in out.read_text()) == (case.get("real_time") != 1.0)


def test_what_json_cannot_say_is_left_out(tmp_path):
    document = made_results.small(dtypes=("f32",), threads=(1,))
    spoil(document, "forloop/single_pass/f32/resnet50/threads:1", share_of_limit=float("nan"), GB_per_s=float("inf"))
    out = tmp_path / "report.html"
    assert report.main([str(write(tmp_path, document)), "--out", str(out)]) == 0
    text = out.read_text()
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S).group(1)
    json.loads(data, parse_constant=lambda constant: pytest.fail(constant))


def test_output_that_cannot_be_written(tmp_path):
    good = write(tmp_path, made_results.small(dtypes=("f32",), threads=(1,)))
    for out in (tmp_path / "absent" / "report.html", good / "report.html", tmp_path, pathlib.Path("/dev/full"),
                pathlib.Path("/proc/report.html")):
        refused(command(good, "--out", out), f"{out}: cannot be written")
    assert sorted(os.listdir(tmp_path)) == ["result.json"]


def test_old_page_stays_where_a_new_one_cannot_be_written(tmp_path):
    out = tmp_path / "report.html"
    out.write_text("old")
    good = write(tmp_path, made_results.small(dtypes=("f32",), threads=(1,)))

    def small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    refused(command(good, "--out", out, preexec_fn=small_files_only), "File too large")
    assert out.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["report.html", "result.json"]


def test_command_line(tmp_path):
    for arguments in ([], ["--out", "x.html"], [write(tmp_path, made_results.small())], ["--unknown"]):
        result = command(*arguments)
        assert (result.returncode, result.stdout) == (2, "") and "sgd-bench report" in result.stderr
