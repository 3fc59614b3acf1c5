"""sgd-bench vs-torch: PyTorch's three paths, the Python drop-in and the library, interleaved in one run over the same tensors.

The harness (libsgd_bench.so) runs everything; this program offers it the Python side, reads the results and prints the ratios.
"""
import argparse
import importlib
import os
import pathlib
import signal
import sys
import tempfile

from . import goals, session, table
from .results import Unusable, load

VERSION = "2.13.0"  # of PyTorch, whose bits the library has
ROUNDS = 9
SWEPT = "many-small,161x4096,resnet50,one-large,ladder"  # by --drop-in: what takes half an hour and 8 GB


def _say(text):
    print(f"sgd-bench: {text}", file=sys.stderr, flush=True)


def _torch_left_out():
    """Why PyTorch's columns are left out; None where PyTorch is there."""
    try:
        torch = importlib.import_module("torch")
    except Exception as error:
        return f"PyTorch cannot be imported by {sys.executable} ({' '.join(str(error).split())})"
    found = str(getattr(torch, "__version__", "of no version"))
    if found.split("+")[0] != VERSION:
        return f"PyTorch is {found}, not {VERSION}, whose bits these are"
    return None


def offer(compiled):
    """The host with what can be imported; None where PyTorch cannot."""
    why = _torch_left_out()
    if why:
        _say(f"{why}: its columns and the drop-in's are left out")
        return None
    import torch

    from . import contestants

    offered = dict(contestants.IMPLEMENTATIONS)
    versions = [f"torch {torch.__version__}", f"python {sys.version.split()[0]}"]
    if not compiled:
        del offered["compiled"]
    try:
        import exactsgd  # noqa: F401
    except Exception as error:
        _say(f"exactsgd cannot be imported ({' '.join(str(error).split())}): the drop-in's columns are left out")
        del offered["python"]
    return session.Host(offered, ", ".join(versions), lambda tensor, dtype: contestants.view(tensor, contestants.DTYPES[dtype]),
                        contestants.Missing)


def _parser():
    parser = argparse.ArgumentParser(
        prog="sgd-bench vs-torch", allow_abbrev=False,
        description="Times torch.optim.SGD's three paths, exactsgd.SGD and the library, interleaved over the same tensors.",
        epilog="Without options: f32 resnet50 and many-small on one thread and on all, about two minutes.  Other options are "
               "those of sgd-bench run.  Ratios need 6 rounds (--repetitions) to have an interval.")
    parser.add_argument("--figures", action="store_true", help="measure the project's goals, and say which are reached")
    parser.add_argument("--drop-in", action="store_true", help="the drop-in against torch.optim.SGD over many shapes")
    parser.add_argument("--compiled", action="store_true", help="torch.compiled steps as well: minutes of compiling, needs g++")
    parser.add_argument("--list", action="store_true", help="print the names of the benchmarks, and run none")
    parser.add_argument("--filter", "-f", action="append", metavar="GLOB", help="only names that match; repeat it for more")
    parser.add_argument("--shapes", metavar="NAME[,NAME]", help="shape sets")
    parser.add_argument("--dtype", metavar="NAMES", help="f64, f32, f16, bf16, c64, c128")
    parser.add_argument("--threads", metavar="N[,N]", help="thread counts")
    parser.add_argument("--min-time", metavar="SECONDS", help="time of one repetition; default: 0.1, for --figures 0.02")
    parser.add_argument("--repetitions", metavar="N", help=f"rounds; default: {ROUNDS}")
    parser.add_argument("--json", metavar="FILE", help="the results, for sgd-bench report")
    parser.add_argument("--markdown", metavar="FILE", help="the tables for a README")
    return parser


def _all_threads():
    count = len(os.sched_getaffinity(0))
    return "1" if count == 1 else f"1,{count}"


def _min_time(options):
    return "0.02" if options.figures or options.drop_in else "0.1"


def _arguments(options, rest, json):
    """The harness's command line."""
    shapes, dtype, filters, threads = options.shapes, options.dtype, options.filter, options.threads
    if options.figures:
        shapes, dtype, filters, threads = ",".join(goals.sets()), "all", goals.filters(), ",".join(map(str, goals.THREADS))
    elif options.drop_in:
        shapes, dtype, filters = shapes or SWEPT, dtype or "all", filters or ["*/python/*", "*/torch/*"]
    elif not filters and "--all" not in rest:
        shapes, dtype = shapes or "resnet50,many-small", dtype or "f32"
    words = [f"--filter={each}" for each in filters or []]
    words += [f"--{name}={value}" for name, value in (("shapes", shapes), ("dtype", dtype)) if value]
    words += [f"--threads={threads or _all_threads()}"]
    if options.list:
        return ["list", *words, *rest]
    min_time = options.min_time or _min_time(options)
    return ["run", *words, f"--repetitions={options.repetitions or ROUNDS}", f"--min-time={min_time}", "--no-table",
            f"--json={json}", *rest]


def _report(json, options):
    """Prints the tables of a result file."""
    run = load(json)
    verdicts = goals.verdicts(run) if options.figures else None
    drop_in = None if options.figures else goals.drop_in(run)  # one of the figures
    print(f"\n{table.text(run, verdicts, drop_in)}", end="", flush=True)
    if options.markdown:
        pathlib.Path(options.markdown).write_text(table.markdown(run, verdicts, drop_in), encoding="utf-8")


def main(arguments):
    options, rest = _parser().parse_known_args(arguments)
    if options.figures and (options.shapes or options.dtype or options.filter or options.threads or options.drop_in):
        _say("--figures chooses benchmarks itself: no --shapes, --dtype, --filter, --threads, --drop-in beside it")
        return 2
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # PyTorch's profiler, which measures peak memory, chats on stderr
    # A library that Clang built has an OpenMP runtime of its own, whose idle threads spin for 200 ms: into PyTorch's time.
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    host = offer(options.compiled)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the harness's from here on
    with tempfile.TemporaryDirectory(prefix="sgd-bench-") as folder:
        json = options.json or os.path.join(folder, "result.json")
        status = session.run(os.environ["SGD_BENCH_LIBRARY"], _arguments(options, rest, json), host)
        if options.list or status == 2:
            return status
        try:
            _report(json, options)
        except (Unusable, OSError) as problem:
            _say(problem)
            return 2
    return status
