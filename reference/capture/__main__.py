"""The command line: `python -m capture --out FILE-OR-FOLDER [options]`, or scripts/capture, which finds a Python for it."""

import argparse
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from . import TORCH_RELEASE
from .errors import CaptureError

DTYPE_NAMES = ("f64", "f32", "f16", "bf16", "c64", "c128")
FEATURE_NAMES = ("plain", "complex", "tensor-lr", "layout", "amp", "none", "mixed", "sparse")


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line."""

    def error(self, message: str):
        raise CaptureError(message)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Raises CaptureError for what is not understood."""
    parser = Parser("capture", allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter,
                    description=f"Runs torch.optim.SGD of torch {TORCH_RELEASE} and writes golden vectors (HDF5).",
                    epilog="A large problem is run with every thread count, a small one with each in turn; avx512 with the fewest.")
    parser.add_argument("--out", required=True, type=Path, metavar="PATH",
                        help="an .h5 file for all, or an existing folder for one file per dtype, and one per feature other than plain")
    parser.add_argument("--seed", type=_whole_number(0), default=1, help="the problems follow from it (default 1)")
    parser.add_argument("--cases", type=_whole_number(1), default=4500, help="cases in each file (default 4500)")
    _add_choice(parser, "--feature", FEATURE_NAMES, "plain")
    _add_choice(parser, "--dtype", DTYPE_NAMES)
    _add_choice(parser, "--path", ("forloop", "foreach", "fused"))
    _add_choice(parser, "--capability", ("default", "avx2", "avx512"))
    parser.add_argument("--threads", nargs="+", type=_whole_number(1, 255), default=[1, 2], metavar="N", help="thread counts (default 1 2)")
    return parser.parse_args(arguments)


def _add_choice(parser: Parser, option: str, choices: tuple[str, ...], default: str | None = None) -> None:
    parser.add_argument(option, nargs="+", choices=choices, default=[default] if default else list(choices), metavar=option[2:].upper(),
                        help=f"any of {', '.join(choices)} (default {default or 'all'})")


def _whole_number(lowest: int, highest: int = 2**63 - 1):
    def whole_number(text: str) -> int:
        value = int(text)
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(f"{text}: must be from {lowest} to {highest}")
        return value

    return whole_number


Kinds = tuple[tuple[str, str], ...]
"""Names of features and dtypes, in pairs."""


def targets(options: argparse.Namespace) -> list[tuple[Path, Kinds]]:
    """The files to write and what they hold.  Raises CaptureError where nothing could be written, before any work is done."""
    out: Path = options.out
    if out.exists() and not (out.is_dir() or out.is_file()):
        raise CaptureError(f"{out}: neither a file nor a folder")
    folder = out if out.is_dir() else out.parent
    if not folder.is_dir():
        raise CaptureError(f"{folder}: no such folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CaptureError(f"{folder}: cannot be written to")
    by_feature = {feature: kinds_of(feature, options.dtype) for feature in unique(options.feature)}
    if not out.is_dir():
        return [(out, tuple(kind for kinds in by_feature.values() for kind in kinds))]
    files: dict[str, Kinds] = {}
    for feature, kinds in by_feature.items():
        files.update({dtype: ((feature, dtype),) for _, dtype in kinds} if feature == "plain" else {feature: kinds})
    return [(out / f"torch-{TORCH_RELEASE}-cpu-{name}.h5", kinds) for name, kinds in files.items()]


def kinds_of(feature: str, dtypes: list[str]) -> Kinds:
    """The feature with each of the dtypes that it is for; raises CaptureError where that is none."""
    from .features import dtypes_of

    known = [dtype.name for dtype in dtypes_of(feature)]
    kinds = tuple((feature, name) for name in unique(dtypes) if name in known)
    if not kinds:
        raise CaptureError(f"--feature {feature}: is for {', '.join(known)} only")
    return kinds


def command_line(options: argparse.Namespace, file: Path, kinds: Kinds) -> str:
    """The command that makes this very file, with every option spelt out and without its folder."""
    features, dtypes = (unique([kind[part] for kind in kinds]) for part in (0, 1))
    lists = {"feature": features, "dtype": dtypes, "path": options.path, "capability": options.capability, "threads": options.threads}
    chosen = " ".join(f"--{name} {' '.join(map(str, values))}" for name, values in lists.items())
    return f"scripts/capture --seed {options.seed} --cases {options.cases} {chosen} --out {file.name}"


def cpu_model() -> str:
    """The processor's name, with family, model and stepping where Linux tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or "unknown"
    fields = dict(map(str.strip, line.split(":", 1)) for line in lines if ":" in line)
    numbers = ", ".join(f"{key} {fields[key]}" for key in ("cpu family", "model", "stepping") if key in fields)
    return f"{fields.get('model name', 'unknown')} ({numbers})"


def capture(options: argparse.Namespace) -> Iterator[str]:
    """Makes the files, all or none of them, and yields a line about each.  Raises CaptureError."""
    from .children import Planned, run_all
    from .dtypes import BY_NAME
    from .plan import Selection, plan
    from .store import VectorFile

    plans: dict[Path, tuple[Kinds, Planned]] = {}
    for path, kinds in targets(options):
        selection = Selection(options.seed, options.cases, tuple((feature, BY_NAME[dtype]) for feature, dtype in kinds),
                              unique(options.path), unique(options.capability), unique(options.threads))
        plans[path] = kinds, plan(selection)
    outcomes, provenance = run_all([entry for _, planned in plans.values() for entry in planned], options.seed)
    results = iter(outcomes)
    images: dict[Path, bytes] = {}
    for path, (kinds, planned) in plans.items():
        file = VectorFile()
        for problem, runs in planned:
            file.add(problem, runs, next(results))
        images[path] = file.to_hdf5({**attributes(options), **provenance, "command": command_line(options, path, kinds)})
    write_all(images)
    for path, (_, planned) in plans.items():
        yield f"{path}: {options.cases} cases of {len(planned)} problems, {len(images[path])} bytes"


def attributes(options: argparse.Namespace) -> dict[str, str | int]:
    """The provenance that does not come from torch."""
    return {
        "cpu_model": cpu_model(),
        "platform": f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver())}",
        "capabilities": " ".join(unique(options.capability)),
        "seed": options.seed,
    }


def unique(values: list) -> tuple:
    """The values in order, each once."""
    return tuple(dict.fromkeys(values))


def write_all(images: dict[Path, bytes]) -> None:
    """Writes each file beside its target, then moves them all into place; raises CaptureError and leaves nothing half done."""
    written: dict[Path, Path] = {}
    try:
        for path, image in images.items():
            written[path] = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            with open(written[path], "xb") as file:
                file.write(image)
                file.flush()
                os.fsync(file.fileno())
        for path, temporary in written.items():
            os.replace(temporary, path)
    except OSError as error:
        raise CaptureError(f"{path}: {error.strerror}") from error
    finally:
        for temporary in written.values():
            temporary.unlink(missing_ok=True)


def main(arguments: list[str]) -> int:
    try:
        for line in capture(parse(arguments)):
            print(line)
    except CaptureError as error:
        reason = str(error)
    except ImportError as error:
        reason = f"{error.name}: cannot be imported by {sys.executable} ({error})"
    else:
        return 0
    print("capture:", " ".join(reason.split()), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
