"""The command line: `python -m capture.cuda --out FOLDER`, with reference/ on PYTHONPATH.  --device cpu tries the program without a GPU."""

import json
import platform
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

from ..__main__ import write_all
from ..errors import CaptureError
from . import golden, made, model, running, runs, speed
from .judging import Tally, first_difference

INTERPRETED = Path(__file__).resolve().parents[2] / "vectors" / "cuda" / "torch-2.13.0-cuda-interpreted.h5"


def parse(arguments: list[str]) -> Namespace:
    parser = ArgumentParser("capture.cuda", allow_abbrev=False, description="Runs torch.optim.SGD on a GPU and writes what it did.")
    parser.add_argument("--out", required=True, type=Path, help="an existing folder: two .h5 files, report.txt, speed.json")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu tries the program; speed is left out")
    parser.add_argument("--interpreted", type=Path, default=INTERPRETED, help="golden runs to replay (default: the shipped ones)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--problems", type=int, default=96, help="problems of each dtype (default 96)")
    parser.add_argument("--rounds", type=int, default=2, help="feature runs: so many of each kind (default 2)")
    parser.add_argument("--long", type=int, default=240, help="runs over two chunks and more, compared and not stored (default 240)")
    parser.add_argument("--small", action="store_true", help="time tiny tensors only, to try the program")
    return parser.parse_args(arguments)


def provenance(device: str) -> dict[str, str]:
    """Attributes of the files: what computed, and what it was built from."""
    import torch

    found = {"source": f"torch {torch.__version__}, stepped on {device}", "torch_version": torch.__version__,
             "torch_commit": torch.version.git_version, "torch_cuda": str(torch.version.cuda), "date": date.today().isoformat(),
             "platform": f"{platform.system()} {platform.machine()}"}
    if device == "cuda":
        major, minor = torch.cuda.get_device_capability()
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]
        found |= {"gpu": torch.cuda.get_device_name(), "capability": f"cuda-sm{major}{minor}", "driver": driver}
    return found


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
        tally = Tally()
        for run, expected in zip(interpreted, outcomes, strict=True):
            if run.arch == arch:
                tally.add(run, running.states_of(run, options.device), expected)
        yield from tally.lines(f"  {arch}" + (", this device's" if arch == own_arch else ", another device's"))


def captured(options: Namespace, exceptions: bool, some: Iterable[runs.Run]) -> tuple[list, list, Tally, dict[str, int]]:
    """Runs, their states, how they compare with the model, and counts of what is neither kept nor compared.  Each is run twice."""
    done, outcomes, tally, apart = [], [], Tally(), {"gave other bits a second time, not kept": 0, "not compared: not in the model": 0}
    for run in some:
        states = running.states_of(run, options.device)
        if first_difference(run, states, running.states_of(run, options.device), nan_is_nan=False):
            apart["gave other bits a second time, not kept"] += 1
            continue
        done.append(run)
        outcomes.append(states)
        try:
            tally.add(run, states, model.states_of(run, exceptions))
        except NotImplementedError:
            apart["not compared: not in the model"] += 1
    return done, outcomes, tally, apart


def check(options: Namespace) -> str:
    """Does everything, writes the files and returns the report."""
    origin = provenance(options.device)
    capability = origin.get("capability", "cuda-sm90")
    exceptions = int(capability[7:]) < 100
    origin["command"] = (f"python -m capture.cuda --device {options.device} --seed {options.seed} --problems {options.problems} "
                         f"--rounds {options.rounds} --long {options.long}")
    lines = [f"{key} {value}" for key, value in origin.items()]
    lines += ["micro vectors", *micro_lines(options.device, exceptions)]
    lines += replay_lines(options, f"sm_{capability[7:]}" if "gpu" in origin else "")
    kept, outcomes = [], []
    for title, some in (("nan grid", made.nan_grid()), ("features", made.features(options.seed, options.rounds)),
                        ("long runs", made.long_runs(options.seed, options.long))):
        done, states, tally, apart = captured(options, exceptions, some)
        lines += tally.lines(f"{title} against the model")
        lines += [f"    {count:5,}  {what}" for what, count in apart.items() if count]
        if title != "long runs":
            kept, outcomes = kept + done, outcomes + states
    for _, run, _, _ in made.micro():
        kept.append(run)
        outcomes.append(running.states_of(run, options.device))
    file, cases, tally = golden.capture(options.seed, options.problems, options.device, capability, exceptions)
    lines += [f"problems: {cases} cases", *tally.lines("their tensors against the model")]
    name = f"torch-{origin['torch_version'].split('+')[0]}-{capability if options.device == 'cuda' else 'cpu'}"
    images = {options.out / f"{name}.h5": file.to_hdf5({**origin, "seed": options.seed}),
              options.out / f"{name}-runs.h5": runs.write(kept, outcomes, {**origin, "seed": options.seed})}
    if options.device == "cuda":
        results = speed.measure(options.small)
        lines += [f"{case:32} {found['ms']:10.4f} ms ({found['least']:.4f} to {found['greatest']:.4f}) {found['GB/s']:8.1f} GB/s"
                  for case, found in results.items()]
        images[options.out / "speed.json"] = json.dumps({**origin, "results": results}, indent=1).encode()
    report = "\n".join(lines) + "\n"
    write_all({**images, options.out / "report.txt": report.encode()})
    return report


def main(arguments: list[str]) -> int:
    try:
        options = parse(arguments)
        if not options.out.is_dir():
            raise CaptureError(f"{options.out}: no such folder")
        print(check(options), end="")
    except CaptureError as error:
        print("capture.cuda:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
