"""Check an environment against a lock file: every package in its version, every module importable from inside.

The image's own test. It stands alone, for the image holds no other file of the project:

    python check_image.py LOCK
"""

import importlib
import os
import re
import shutil
import sys
import sysconfig
import warnings
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

# Not importable in any environment: black's server, whose own dependency is an extra that nobody asks for here.
NOT_ALONE = {"blackd"}


def normalised(name: str) -> str:
    """A distribution's name in the spelling of PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked_versions(lock: str) -> dict[str, str]:
    """The version of every package that a pip lock file pins."""
    return {normalised(name): pin for name, pin in re.findall(r"^([\w.-]+)==([^\s;\\]+)", lock, re.MULTILINE)}


def wrong_versions(locked: dict[str, str]) -> list[str]:
    """One line for every locked package that is missing or has another version."""
    wrong = []
    for name, pin in locked.items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            installed = "no version"
        if installed.partition("+")[0] != pin.partition("+")[0]:
            wrong.append(f"{name}: {pin} is locked, {installed} is installed")
    return wrong


def foreign_modules(locked: dict[str, str], prefix: Path) -> list[str]:
    """One line for every module of the locked packages that cannot be imported, or that comes from outside `prefix`."""
    wrong = []
    for name, distributions in sorted(packages_distributions().items()):
        ours = any(normalised(distribution) in locked for distribution in distributions)
        if not ours or not name.isidentifier() or name.startswith("_") or name in NOT_ALONE:
            continue
        try:
            module = importlib.import_module(name)
        except Exception as error:
            wrong.append(f"{name}: {type(error).__name__}: {error}")
            continue
        # A namespace package has no file; what is searched first is what is found.
        place = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), None)
        if place and not Path(place).is_relative_to(prefix):
            wrong.append(f"{name} comes from {place}, which is not in {prefix}")
    return wrong


def can_compile() -> bool:
    """Whether what torch.compile needs is here: g++ and the headers of Python."""
    return bool(shutil.which("g++")) and Path(sysconfig.get_path("include"), "Python.h").exists()


def main() -> None:
    warnings.simplefilter("ignore")
    os.environ["GIT_PYTHON_REFRESH"] = "quiet"  # GitPython comes with Snakemake; the image needs no git
    locked = locked_versions(Path(sys.argv[1]).read_text(encoding="utf-8"))
    wrong = wrong_versions(locked) + foreign_modules(locked, Path(sys.prefix))
    if wrong:
        sys.exit("\n".join(wrong))
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    print(f"{len(locked)} packages as locked, on Python {sys.version.split()[0]} in {sys.prefix}")
    print(f"C++ compiler, for `compile: true`: {'yes' if can_compile() else 'none that has the headers of Python'}")
    print(f"devices: {', '.join(names) or 'the CPU alone'} (torch {torch.__version__}, CUDA {torch.version.cuda})")


if __name__ == "__main__":
    main()
