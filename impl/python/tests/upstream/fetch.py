"""PyTorch's test files, from Debian's source package of 2.6, by a private apt that leaves the machine's own lists alone.

apt checks the archive against the signed lists; only the few files that are needed are unpacked, and kept between runs.
"""

import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

SUITE, VERSION = "trixie", "2.6."
MIRROR, KEYRING = "http://deb.debian.org/debian", "/usr/share/keyrings/debian-archive-keyring.gpg"
FILES = ("test_optim.py", "optim/test_optim.py", "optim/test_lrscheduler.py", "optim/test_swa_utils.py", "test_functional_optim.py",
         "test_subclass.py", "test_torch.py", "nn/test_parametrization.py", "nn/test_lazy_modules.py")


class FetchError(Exception):
    """One line: why the files cannot be had."""


def run(*command: str, **where: object) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, **where)  # type: ignore[call-overload]
    except FileNotFoundError:
        raise FetchError(f"{command[0]}: no such program; PyTorch's test files come from a Debian source package") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith(("E:", "W:"))] or ["no reason given"]
        raise FetchError(f"{' '.join(command[:2])}: {lines[0]}")
    return str(done.stdout)


def private_apt(folder: Path) -> dict[str, str]:
    """The environment of an apt whose lists, cache and sources are all in the folder; how to reach the network is the machine's."""
    if not Path(KEYRING).exists():
        raise FetchError(f"{KEYRING}: not there; PyTorch's test files come from a Debian source package")
    for name in "lists/partial", "cache/archives/partial":
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(f"deb-src [signed-by={KEYRING}] {MIRROR} {SUITE} main\n")
    network = [line for line in run("apt-config", "dump").splitlines() if line.startswith("Acquire::")]
    (folder / "apt.conf").write_text("\n".join([
        *network, f'Dir::State "{folder}";', f'Dir::State::lists "{folder}/lists";', f'Dir::State::status "{folder}/status";',
        f'Dir::Cache "{folder}/cache";', f'Dir::Etc::sourcelist "{folder}/sources.list";', 'Dir::Etc::sourceparts "-";',
        'Dir::Etc::parts "-";', 'Dir::Etc::main "-";', 'APT::Update::Error-Mode "any";', 'APT::Sandbox::User "root";', "",
    ]))
    return {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "LC_ALL": "C"}


def download(folder: Path) -> Path:
    environment = private_apt(folder)
    run("apt-get", "update", env=environment)
    shown = run("apt-cache", "showsrc", "--only-source", "pytorch", env=environment)
    versions = [line.split()[1] for line in shown.splitlines() if line.startswith("Version: " + VERSION)]
    if not versions:
        raise FetchError(f"Debian {SUITE} has no source package pytorch {VERSION}*")
    run("apt-get", "source", "--download-only", f"pytorch={versions[-1]}", cwd=folder, env=environment)
    return next(folder.glob("pytorch_*.orig.tar.*"))


def unpack(archive: Path, target: Path) -> None:
    missing = set(FILES)
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.partition("/test/")[2]
            if member.name.count("/test/") == 1 and name in missing and member.name.index("/") == member.name.index("/test/"):
                content = tar.extractfile(member)
                assert content is not None
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                (target / name).write_bytes(content.read())
                missing.remove(name)
    if missing:
        raise FetchError(f"{archive.name} lacks test/{sorted(missing)[0]}")


def test_files(cache: Path) -> Path:
    """The folder with PyTorch's test files; downloaded where it is not there yet, whole or not at all."""
    target = cache / "test"
    if not target.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        print(f"upstream-tests: PyTorch's test files, from Debian's source package ({MIRROR} {SUITE})", flush=True)
        with tempfile.TemporaryDirectory(dir=cache) as name:
            folder = Path(name).resolve()
            unpack(download(folder), folder / "test")
            shutil.move(folder / "test", target)
    return target
