"""Runs PyTorch's own tests of SGD on another class: scripts/upstream-tests CLASS.

Which tests those are, PyTorch says: all that touch torch.optim.SGD and pass on it, in a run of their own that is kept in the cache
(the test files are older than the torch they run on, and a few fail on any class).  A test counts as passed if it passes, and
constructed or stepped the class, and never the stock one.
"""

import argparse
import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import fetch

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[3]
CACHE = CHECKOUT / "build/upstream"
STOCK = "torch.optim:SGD"
FILES = ("test_optim.py", "test_functional_optim.py", "test_subclass.py", "nn/test_parametrization.py",
         "nn/test_lazy_modules.py", "test_torch.py")
NAMES_SGD = re.compile("(^|_)SGD(_|$)")

Tests = dict[str, dict[str, Any]]


def fail(message: str) -> None:
    print(f"upstream-tests: {message}", file=sys.stderr)
    sys.exit(2)


# ---- running ---------------------------------------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    paths = [str(HERE), str(CACHE / "site"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": ":".join(path for path in paths if path), "PYTHONDONTWRITEBYTECODE": "1"}


def install_checkout() -> None:
    """The package of this checkout, where the tests find it before any other."""
    log = CACHE / "install.log"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--upgrade",
               "--target", str(CACHE / "site"), str(CHECKOUT)]
    CACHE.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        if subprocess.run(command, stdout=output, stderr=output, check=False).returncode:
            fail(f"exactsgd does not build; {log} says why")


def check_class(name: str) -> str:
    """torch's version, if the class can stand in."""
    done = subprocess.run([sys.executable, str(HERE / "redirect.py"), name], env=environment(), capture_output=True, text=True,
                          check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"{name}: its import died of signal {-done.returncode}"]
        fail(re.sub("^ModuleNotFoundError", sys.executable, lines[-1]))
    return done.stdout.strip()


def read_report(path: Path) -> Tests:
    tests: Tests = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        entry = json.loads(line)
        tests[entry.pop("test")] = entry
    return tests


def run_tests(name: str, folder: Path, keep: Path, only: str | None, forbid_inherited: bool = False) -> Tests:
    """Runs the tests on a class; report and log stay in `keep`."""
    label = re.sub(r"\W+", "-", name)
    report, log = keep / f"{label}.jsonl", keep / f"{label}.log"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(folder), "-p", "redirect", "-p", "no:cacheprovider",
               "--redirect-class", name, "--redirect-report", str(report), *([only] if only else FILES)]
    if forbid_inherited:
        command.append("--redirect-forbid-inherited")
    print(f"upstream-tests: running PyTorch's tests on {name}", flush=True)
    with log.open("w") as output:
        code = subprocess.run(command, cwd=folder, env=environment(), stdout=output, stderr=output, check=False).returncode
    if code < 0:
        print(f"upstream-tests: the run died of {signal.Signals(-code).name}; {log}")
    elif code == 4 and only:
        fail(f"PyTorch 2.6 has no test {only}")
    elif code not in (0, 1):
        fail(f"pytest cannot run the tests; {log} says why")
    return read_report(report)


def stock_tests(folder: Path, torch_version: str, keep: Path, only: str | None, again: bool) -> Tests:
    """How the tests end on torch.optim.SGD, run once for a version of torch and of the redirection."""
    if only:
        return run_tests(STOCK, folder, keep, only)
    digest = hashlib.sha256((HERE / "redirect.py").read_bytes()).hexdigest()[:8]
    kept = CACHE / f"stock-{torch_version}-{digest}.jsonl"
    if again or not kept.exists():
        tests = run_tests(STOCK, folder, keep, None)
        part = kept.with_suffix(".part")
        part.write_text("".join(json.dumps({"test": test, **entry}) + "\n" for test, entry in tests.items()))
        part.replace(kept)
    return read_report(kept)


# ---- judging ---------------------------------------------------------------------------------------------------------------


def touches(entry: dict[str, Any], whose: str) -> int:
    return sum(entry.get(whose, ()))


def counts(test: str, stock: dict[str, Any]) -> bool:
    if stock["outcome"] == "skipped":
        return bool(NAMES_SGD.search(test))
    return stock["outcome"] == "passed" and touches(stock, "ours") > 0


def judge(entry: dict[str, Any] | None, stock: dict[str, Any], is_stock: bool) -> tuple[str, str]:
    if entry is None:
        return "failed", "did not run"
    if entry["outcome"] == "died":
        return "failed", "the process died in it"
    if entry["outcome"] == "passed" and not touches(entry, "ours") and stock["outcome"] == "passed":
        return "failed", "passed, but without the class"
    if entry["outcome"] == "passed" and touches(entry, "stock") and not is_stock:
        return "failed", f"passed, but touched {STOCK} as well"
    if entry["outcome"] == "skipped" and stock["outcome"] != "skipped":
        return "failed", f"skipped, which it is not on {STOCK}: {entry['why']}"
    return entry["outcome"], entry["why"]


# ---- reporting -------------------------------------------------------------------------------------------------------------


def last_error(why: str) -> str:
    """The line of a traceback that says what happened."""
    errors = [line[1:].strip() for line in why.splitlines() if line.startswith("E ") and line[1:].strip()]
    return errors[0] if errors else (why.strip().splitlines() or [""])[-1]


def print_table(results: dict[str, tuple[str, str]], tests: Tests, name: str) -> None:
    print(f"\n{'':<34}{'':>24}  {name:>21}  {STOCK:>16}  {'groups by':>11}")
    print(f"{'PyTorch test class':<34}{'passed  failed skipped':>24}  {'new':>13}{'steps':>8}  {'new':>8}{'steps':>8}  "
          f"{'PyTorch':>11}\n{'-' * 112}")
    rows: dict[str, Counter[str]] = {}
    for test, (outcome, _) in results.items():
        row = rows.setdefault(test.split("::")[1], Counter())
        row[outcome] += 1
        entry = tests.get(test, {})
        for whose in "ours", "stock":
            for what, number in zip(("new", "steps"), entry.get(whose, (0, 0)), strict=True):
                row[f"{whose} {what}"] += number if whose == "ours" or name != STOCK else 0
        row["kernels"] += entry.get("kernels", 0)
    rows["all"] = sum(rows.values(), Counter())
    for group, row in rows.items():
        print(f"{group:<34}{row['passed']:>8}{row['failed']:>8}{row['skipped']:>8}  {row['ours new']:>13}{row['ours steps']:>8}  "
              f"{row['stock new']:>8}{row['stock steps']:>8}  {row['kernels']:>11}")


def print_failures(results: dict[str, tuple[str, str]], arguments: argparse.Namespace) -> None:
    flag = " --forbid-inherited" if arguments.forbid_inherited else ""
    for test, (outcome, why) in results.items():
        if outcome == "failed":
            print(f"\nFAILED {test}\n  {last_error(why)[:300]}\n  run again: scripts/upstream-tests {arguments.cls}{flag} "
                  f"--only {shlex.quote(test)}")


def write_junit(results: dict[str, tuple[str, str]], tests: Tests, name: str) -> Path:
    suite = ElementTree.Element("testsuite", name=f"PyTorch's tests on {name}")
    tally = Counter(outcome for outcome, _ in results.values())
    suite.attrib |= {"tests": str(len(results)), "failures": str(tally["failed"]), "skipped": str(tally["skipped"]), "errors": "0"}
    for test, (outcome, why) in results.items():
        file, group, method = test.split("::", 2)
        case = ElementTree.SubElement(suite, "testcase", classname=f"{file}.{group}", name=method,
                                      time=f"{tests.get(test, {}).get('seconds', 0):.3f}")
        clean = "".join(c for c in why if c.isprintable() or c in "\n\t")
        if outcome == "failed":
            ElementTree.SubElement(case, "failure", message=last_error(clean)).text = clean
        elif outcome == "skipped":
            ElementTree.SubElement(case, "skipped", message=clean)
    path = CHECKOUT / "build/test-results" / f"upstream-{re.sub(r'[^A-Za-z0-9]+', '-', name)}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    ElementTree.ElementTree(suite).write(part, encoding="utf-8", xml_declaration=True)
    part.replace(path)
    return path


# ---- the command -----------------------------------------------------------------------------------------------------------


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/upstream-tests", description="Runs PyTorch's own tests of SGD on a class.")
    parser.add_argument("cls", metavar="CLASS", 
                        help="exactsgd:SGD, exactsgd.contract:SGD, torch.optim:SGD, or another MODULE:CLASS")
    parser.add_argument("--keep", metavar="DIR", type=Path, default=CACHE / "last",
                        help="where reports and pytest's logs are kept; build/upstream/last if not given")
    parser.add_argument("--only", metavar="TEST", help="one test, by the name that a failure prints")
    parser.add_argument("--forbid-inherited", action="store_true",
                        help="make the methods of torch.optim.Optimizer raise when the class uses them")
    return parser.parse_args()


def compare(arguments: argparse.Namespace, keep: Path) -> int:
    if re.match(r"exactsgd\b", arguments.cls):
        check_class(STOCK)  # a Python without torch is told so before anything is built for it
        install_checkout()
    torch_version = check_class(arguments.cls)
    folder = fetch.test_files(CACHE)
    is_stock = arguments.cls == STOCK
    stock = stock_tests(folder, torch_version, keep, arguments.only, again=is_stock)
    tests = stock if is_stock else run_tests(arguments.cls, folder, keep, arguments.only, arguments.forbid_inherited)
    results = {test: judge(tests.get(test), entry, is_stock) for test, entry in stock.items() if counts(test, entry)}
    left_out = sum(entry["outcome"] == "failed" and touches(entry, "ours") > 0 for entry in stock.values())
    print_failures(results, arguments)
    print_table(results, tests, arguments.cls)
    print(f"\ntorch {torch_version}; {left_out} tests are left out, which fail on {STOCK}: the test files are those of PyTorch 2.6")
    if not arguments.only:
        print(f"JUnit: {write_junit(results, tests, arguments.cls)}")
    tally = Counter(outcome for outcome, _ in results.values())
    print(f"{tally['passed']} passed, {tally['failed']} failed, {tally['skipped']} skipped")
    return 0 if results and not tally["failed"] else 1


def main() -> int:
    arguments = parse()
    try:
        arguments.keep.mkdir(parents=True, exist_ok=True)
        return compare(arguments, arguments.keep.resolve())
    except (fetch.FetchError, OSError) as error:
        fail(str(error))
    return 2


if __name__ == "__main__":
    sys.exit(main())
