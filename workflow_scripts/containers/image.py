"""Build and inspect the container image, through Apptainer and Singularity Python."""

import contextlib
import hashlib
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from subprocess import CalledProcessError

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import atomic_path

logger = logging.getLogger("copycat")

DEFINITION = "containers/copycat.def"
LOCK = "envs/lock.txt"
BUILD_LOG = Path("results/logs/build_image.log")
# The image is rebuilt when one of these changes.
SOURCES = (DEFINITION, LOCK, "workflow_scripts/containers/check_image.py")
OLDEST_APPTAINER = (1, 2)  # build arguments
NAMED_VERSIONS = ("torch", "torchvision", "snakemake", "numpy")

DISK_ADVICE = (
    "The disk is full: the build takes 8 GB for a while in the folder that APPTAINER_TMPDIR names (or /tmp), and "
    "4 GB beside the workflow. Make room, or name another folder."
)
NETWORK_ADVICE = "Behind a mirror, or without a network: COPYCAT_IMAGE_BASE (docs/containers.md)."

# pip's options that say where packages come from; those of the first line name folders or addresses of package indexes.
INDEXES = ("index-url", "extra-index-url")
FOLDERS = ("find-links",)
FILES = ("cert", "client-cert")
PLAIN = ("trusted-host", "proxy", "default-timeout", "timeout", "retries", "no-index")


def image_name(root: Path) -> str:
    """The image's file name, with a hash of all that it is made from: another lock or definition, another name."""
    digest = hashlib.sha256()
    for source in SOURCES:
        digest.update(hashlib.sha256((root / source).read_bytes()).digest())
    return f"copycat-{digest.hexdigest()[:12]}.sif"


def image_path(root: Path) -> Path:
    """Where the image of the repository in `root` is, or will be."""
    return root / "containers" / image_name(root)


def require_image(root: Path) -> None:
    """Build the image of the repository in `root` if it is not there; raises InputError, which names the log."""
    if image_path(root).exists():
        return
    print(f"Building the container image, which takes some minutes ({BUILD_LOG}).", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "workflow_scripts.containers.build_image"]
    if subprocess.run(command, env=os.environ | {"PYTHONPATH": str(root)}).returncode:
        raise InputError(f"the container image could not be built; the cause stands above and in {BUILD_LOG}.")


def check_apptainer() -> None:
    """Stop with an `InputError` if Apptainer is missing or too old to build the image."""
    needed = ".".join(map(str, OLDEST_APPTAINER))
    advice = f"Install Apptainer {needed} or newer (docs/containers.md), or run without --sdm apptainer."
    if not shutil.which("apptainer"):
        raise InputError(f"apptainer: no such program on the path. {advice}")
    done = subprocess.run(["apptainer", "--version"], capture_output=True, text=True)
    number = re.search(r"(\d+)\.(\d+)", done.stdout)
    if done.returncode or not number:
        raise InputError(f"apptainer --version fails: {(done.stderr or done.stdout).strip()}. {advice}")
    if tuple(map(int, number.groups())) < OLDEST_APPTAINER:
        raise InputError(f"apptainer: found {done.stdout.strip()}, need {needed} or newer. {advice}")


def host_pip_settings() -> dict[str, str]:
    """Where the host's pip takes packages from, by `pip config list`; the parts of a list are divided by spaces."""
    done = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    settings: dict[str, str] = {}
    # pip lists its sections from the most general to the environment's variables; the later one wins.
    sections = {"global": 0, "install": 1, ":env:": 2}
    lines = re.findall(r"^(global|install|:env:)\.([\w-]+)='(.*)'$", done.stdout.replace("\\n", " "), re.MULTILINE)
    for _section, option, value in sorted(lines, key=lambda line: sections[line[0]]):
        if option in (*INDEXES, *FOLDERS, *FILES, *PLAIN):
            settings[option] = value
    return settings


def stage_pip_settings(settings: Mapping[str, str], stage: Path) -> list[str]:
    """Write `settings` as `stage`/pip.conf for a container in which `stage` is bound to /mnt.

    Files, folders and `file://` indexes of the host are replaced by mount points in `stage`. Returns the binds that
    they and `stage` itself need, as `source:target`.
    """
    binds = [f"{stage}:/mnt"]

    def mounted(word: str, option: str) -> str:
        path = Path(word.removeprefix("file://"))
        if not path.is_absolute() or not path.exists():
            return word
        point = f"{len(binds) - 1}"
        # A folder index may link to files beside it.
        source = path.parent if option in INDEXES else path
        if source.is_dir():
            (stage / point).mkdir()
        else:
            (stage / point).touch()
        binds.append(f"{source}:/mnt/{point}")
        target = f"/mnt/{point}/{path.name}" if option in INDEXES else f"/mnt/{point}"
        return f"file://{target}" if word.startswith("file://") else target

    lines = ["[global]"]
    for option, value in settings.items():
        words = value.split() if option in (*INDEXES, *FOLDERS) else [value]
        lines.append(f"{option} = {' '.join(mounted(word, option) for word in words)}")
    (stage / "pip.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return binds


def base_arguments(base: str | None) -> list[str]:
    """The build arguments for a base: a folder or SIF file of this machine, or an image of a registry; none by default.

    Raises `InputError` if `base` looks like a path and does not exist.
    """
    if not base:
        return []
    if Path(base).exists():
        return ["bootstrap=localimage", f"base={Path(base).resolve()}"]
    if base.startswith(("/", ".", "~")):
        raise InputError(f"{base}: no such folder or SIF file to build the image from. Correct COPYCAT_IMAGE_BASE.")
    return ["bootstrap=docker", f"base={base.removeprefix('docker://')}"]


def _mapped_in_namespace() -> bool:
    """Whether root has a range of user ids to build with, as on a machine whose root lacks some capability."""
    with contextlib.suppress(OSError):
        return os.geteuid() == 0 and any(
            line.startswith("root:") for line in Path("/etc/subuid").read_text(encoding="utf-8").splitlines()
        )
    return False


def build(root: Path, image: Path, base: str | None = None) -> None:
    """Build the image of the project in `root` as the file `image`, and test it; the log gets Apptainer's output.

    `base` is the folder, SIF file or registry image to build from. Raises `InputError` if Apptainer cannot do it.
    """
    from spython.utils import stream_command

    from workflow_scripts.containers.check_image import locked_versions

    check_apptainer()
    locked = locked_versions((root / LOCK).read_text(encoding="utf-8"))
    arguments = [
        *base_arguments(base),
        f"lock_sha256={hashlib.sha256((root / LOCK).read_bytes()).hexdigest()}",
        f"versions={' '.join(f'{name}-{locked[name]}' for name in NAMED_VERSIONS)}",
    ]
    with tempfile.TemporaryDirectory(prefix="copycat-image-") as stage, atomic_path(image) as temporary:
        binds = stage_pip_settings(host_pip_settings(), Path(stage))
        command = ["apptainer", "build", *(["--fakeroot"] if _mapped_in_namespace() else [])]
        command += ["--mksquashfs-args", "-comp zstd -Xcompression-level 3"]
        command += [word for bind in binds for word in ("--bind", bind)]
        command += [word for argument in arguments for word in ("--build-arg", argument)]
        command += [str(temporary.absolute()), str(root / DEFINITION)]
        logger.info("%s", shlex.join(command))
        last: list[str] = []
        try:
            # Client.build reads one stream or neither while the build runs; a full pipe of the other would stop it.
            with contextlib.chdir(root):  # the definition names its files from there
                for line in stream_command(command, output_type="both"):
                    if "is ignored: it is neither a file nor a directory" in line:
                        continue  # pip, of every package that a folder of wheels does not have
                    logger.info("%s", line.rstrip())
                    last = [*last[-9:], line.rstrip()]
        except CalledProcessError as error:
            full = any("No space left on device" in line for line in last)
            advice = DISK_ADVICE if full else NETWORK_ADVICE
            words = "\n  ".join(["the image could not be built. Apptainer's last words:", *last])
            raise InputError(f"{words}\n{advice}") from error


@contextlib.contextmanager
def _apptainer_as_singularity() -> Iterator[None]:
    """Let Singularity Python, which calls a program `singularity`, find Apptainer."""
    program, path = shutil.which("apptainer"), os.environ.get("PATH", "")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "singularity").symlink_to(program or "apptainer")
        os.environ["PATH"] = f"{folder}{os.pathsep}{path}"
        try:
            yield
        finally:
            os.environ["PATH"] = path


def labels(image: Path, names: Sequence[str] = ("lock.sha256", "versions")) -> dict[str, str]:
    """The labels of an image, of those in `names` that it has."""
    from spython.main import Client

    with _apptainer_as_singularity():
        attached = Client.inspect(str(image))["attributes"]["labels"]
    return {name: attached[name] for name in names if name in attached}
