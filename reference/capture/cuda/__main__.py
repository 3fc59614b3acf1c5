"""The command line: `scripts/capture --device cuda --out FOLDER`.  --device cpu tries the program without a GPU."""

import json
import platform
import subprocess
import sys
import traceback
from argparse import ArgumentTypeError, Namespace
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import torch

from .. import stepping
from ..__main__ import Parser, cpu_model, write_all
from ..errors import CaptureError
from . import golden, made, model, nans, running, runs, speed
from .captured import Captured
from .judging import Tally

INTERPRETED = Path(__file__).resolve().parents[2] / "vectors" / "cuda" / "torch-2.13.0-cuda-interpreted.h5"


def parse(arguments: list[str]) -> Namespace:
    """Raises CaptureError for what is not understood."""
    parser = Parser("capture.cuda", allow_abbrev=False, description="Runs torch.optim.SGD on a GPU, writes what it did and how that agrees "
                    "with the contract of torch 2.13.0+cu130.")
    parser.add_argument("--out", required=True, type=Path, help="an existing folder: two .h5 files, report.txt, speed.json")
    parser.add_argument("--device", choices=("cuda", "cpu"), required=True, help="cpu tries the program; speed is left out")
    parser.add_argument("--interpreted", type=Path, default=INTERPRETED, help="golden runs to replay (default: the shipped ones)")
    for option, default, meaning in (("seed", 1, "the runs follow from it"), ("problems", 40, "problems of each dtype"),
                                     ("rounds", 2, "feature runs: so many of each kind"),
                                     ("long", 240, "runs over two chunks and more, compared and not stored")):
        parser.add_argument(f"--{option}", type=_natural, default=default, metavar="N", help=f"{meaning} (default {default})")
    parser.add_argument("--small", action="store_true", help="time tiny tensors only, to try the program")
    return parser.parse_args(arguments)


def _natural(text: str) -> int:
    if int(text) < 0:
        raise ArgumentTypeError(f"{text}: must not be negative")
    return int(text)


def capability_of(major: int, minor: int) -> str:
    """The name in the vector files for what computes: the nearest architecture whose machine code was read."""
    return "cuda-sm80" if major < 9 else "cuda-sm90" if major == 9 else "cuda-sm100"


def provenance(device: str) -> dict[str, str]:
    """Attributes of the files: what computed, and what it was built from.  Raises CaptureError where there is no GPU."""
    found = {"source": f"torch {torch.__version__}, stepped on {device}", **stepping.provenance(), "torch_cuda": str(torch.version.cuda),
             "date": date.today().isoformat(), "cpu_model": cpu_model(), "platform": f"{platform.system()} {platform.machine()}"}
    found["capabilities"] = found.pop("capability").lower()
    if device == "cuda":
        if not torch.cuda.is_available():
            raise CaptureError(f"torch {torch.__version__} finds no GPU")
        major, minor = torch.cuda.get_device_capability()
        found |= {"gpu": torch.cuda.get_device_name(), "compute_capability": f"{major}.{minor}",
                  "capabilities": capability_of(major, minor), "driver": _driver()}
    return found


def _driver() -> str:
    """The driver's version as nvidia-smi tells it."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def micro_lines(device: str, exceptions: bool) -> Iterator[str]:
    """The micro vectors, each in one line."""
    for name, run, special, plain in made.micro():
        _, param, buffer = running.states_of(run, device)[0]
        words, expected = (param, [special] * 3 + [plain]) if name.startswith("E2") else (buffer, [special] * 4)
        expected = (expected if exceptions else [plain] * 4)[: run.numel]
        verdict = "as interpreted" if words.tolist() == expected else f"OTHER THAN interpreted {' '.join(map('{:x}'.format, expected))}"
        yield f"    {name:20} {' '.join(map('{:x}'.format, words.tolist()))}  {verdict}"


def replay_lines(options: Namespace, own_arch: str) -> Iterator[str]:
    """The interpreted runs, by the architecture whose machine code was interpreted."""
    interpreted, outcomes, attributes = runs.read(options.interpreted)
    yield f"replay of runs interpreted from torch {attributes['torch_version']}"
    for arch in runs.ARCHS:
        tally, of_model = Tally(), Tally()
        for run, expected in zip(interpreted, outcomes, strict=True):
            if run.arch == arch:
                tally.add(run, running.states_of(run, options.device), expected)
                of_model.add(run, model.states_of(run, exceptions=arch != "sm_100"), expected)
        yield from of_model.lines(f"  {arch}, the model on this CPU")
        yield from tally.lines(f"  {arch}" + (", this device's" if arch == own_arch else ", another device's"))


class Check:
    """All parts of the program, each with its lines; `images` are the files to write."""

    def __init__(self, options: Namespace) -> None:
        self.options = options
        self.origin = provenance(options.device)
        self.capability = self.origin["capabilities"]
        self.exceptions = self.capability != "cuda-sm100"
        self.origin["command"] = (f"scripts/capture --device {options.device} --seed {options.seed} --problems {options.problems} "
                                  f"--rounds {options.rounds} --long {options.long}")
        release = self.origin["torch_version"].split("+")[0]
        self.name = f"torch-{release}-{self.capability if options.device == 'cuda' else 'cpu'}"
        self.images: dict[Path, bytes] = {}

    def micro(self) -> Iterator[str]:
        return micro_lines(self.options.device, self.exceptions)

    def replay(self) -> Iterator[str]:
        return replay_lines(self.options, self.capability.replace("cuda-sm", "sm_"))

    def singles(self) -> Iterator[str]:
        kept = Captured()
        for _, run, _, _ in made.micro():
            kept.add(run, self.options.device, self.exceptions)
        grid = Captured()
        for run in made.nan_grid():
            grid.add(run, self.options.device, self.exceptions)
        features = Captured()
        for run in made.features(self.options.seed, self.options.rounds):
            features.add(run, self.options.device, self.exceptions)
        self.images[self.options.out / f"{self.name}-runs.h5"] = runs.write(
            kept.runs + grid.runs + features.runs, kept.states + grid.states + features.states, {**self.origin, "seed": self.options.seed})
        yield from features.lines("features")
        yield from grid.lines("NaN grid")
        yield from nans.lines(grid.runs, grid.states)

    def long(self) -> Iterator[str]:
        long = Captured()
        for run in made.long_runs(self.options.seed, self.options.long):
            long.add(run, self.options.device, self.exceptions)
        return long.lines("long runs")

    def problems(self) -> Iterator[str]:
        file, cases, tally = golden.capture(self.options.seed, self.options.problems, self.options.device, self.capability, self.exceptions)
        self.images[self.options.out / f"{self.name}.h5"] = file.to_hdf5({**self.origin, "seed": self.options.seed})
        yield f"{cases:,} cases"
        yield from tally.lines("their tensors against the model")

    def speed(self) -> Iterator[str]:
        if self.options.device == "cpu":
            return
        results = speed.measure(self.options.small)
        self.images[self.options.out / "speed.json"] = json.dumps({**self.origin, "results": results}, indent=1).encode()
        for case, found in results.items():
            yield f"    {case:32} {found['ms']:10.4f} ms ({found['least']:.4f} to {found['greatest']:.4f}) {found['GB/s']:8.1f} GB/s"


def check(options: Namespace) -> tuple[str, bool]:
    """Does everything, writes the files; returns the report and whether all parts came to their end."""
    whole = Check(options)
    lines, complete = [f"{key} {value}" for key, value in whole.origin.items()], True
    for part in (whole.micro, whole.replay, whole.speed, whole.singles, whole.problems, whole.long):
        lines.append(f"== {part.__name__}")
        try:
            lines += part()
        except Exception as error:  # time on a GPU is dear: what the other parts found is kept
            lines += [f"FAILED: {line}" for line in traceback.format_exception(error)[-3:]]
            complete = False
    report = "\n".join(lines) + "\n"
    write_all({**whole.images, options.out / "report.txt": report.encode()})
    return report, complete


def main(arguments: list[str]) -> int:
    try:
        options = parse(arguments)
        if not options.out.is_dir():
            raise CaptureError(f"{options.out}: no such folder")
        report, complete = check(options)
        print(report, end="")
    except CaptureError as error:
        print("capture.cuda:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
