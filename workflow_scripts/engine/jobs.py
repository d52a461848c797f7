"""The environment of jobs: variables of all, and what those inside the image see of the machine."""

import os
import shlex
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path

from workflow_scripts.core.provenance import REVISION

# glibc gives large blocks back to the system when they are freed, and a training frees and takes the same ones in every
# step: most of its page faults, and of the system's time, come from that. With these a process keeps up to a gigabyte.
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(1 << 26),
}
# Nothing of the host's environment passes but this: which GPUs a job has, and how the network is reached.
PASSED = (
    "CUDA_VISIBLE_DEVICES",
    "COPYCAT_GPU_LOCKS",
    "SLURM_JOB_ID",
    "SLURM_JOB_GPUS",
    "SLURM_STEP_GPUS",
    "SLURM_JOB_END_TIME",
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
)
# Snakemake sets it for each job, after the command below was made: the job's shell fills it in.
THREADS = '--env "OMP_NUM_THREADS=$OMP_NUM_THREADS"'


def set_variables(root: Path, environment: MutableMapping[str, str] = os.environ) -> None:
    """Set what every job needs, also inside the image: where `workflow_scripts` is, its revision, limits of malloc."""
    variables = MALLOC | {"PYTHONPATH": str(root), REVISION: environment[REVISION]}
    environment.update(variables | {f"APPTAINERENV_{name}": value for name, value in variables.items()})


def outside(paths: Sequence[str | os.PathLike[str]], folder: Path) -> list[Path]:
    """What must be bound so that `paths` exist in a container that sees `folder` alone: absolute, sorted, none twice.

    A file is replaced by the folder that holds it, a missing path by its nearest existing parent; where a link leads to
    is bound too.
    """
    places = set()
    for named in paths:
        path = folder / named
        for place in (Path(os.path.abspath(path)), path.resolve()):
            while not place.is_dir():
                place = place.parent
            places.add(place)
    # The root is the container's own: a path that has no existing parent below it is reported by the job that reads it.
    wanted = {place for place in places if place != Path("/") and not place.is_relative_to(folder)}
    return sorted(place for place in wanted if not any(parent in wanted for parent in place.parents))


def mount(folder: Path) -> str:
    """Apptainer's argument that makes a folder of the host visible under the same path, whatever is in its name."""
    fields = ["type=bind", f"source={folder}", f"destination={folder}"]
    quoted = ['"' + field.replace('"', '""') + '"' if any(c in field for c in ',"') else field for field in fields]
    return f"--mount {shlex.quote(','.join(quoted))}"


def prepare_jobs_inside(
    arguments: str,
    paths: Sequence[str | os.PathLike[str]],
    folder: Path,
    environment: MutableMapping[str, str] = os.environ,
) -> str:
    """Apptainer's arguments for jobs that work in `folder` and read `paths`; `arguments` are the user's own.

    Sets the variables by which Apptainer passes on those in `PASSED`. Called again by every job's own Snakemake, on the
    machine where it runs, with the result of the first call: what is there already is not repeated.
    """
    for name in PASSED:
        if name in environment:
            environment[f"APPTAINERENV_{name}"] = environment[name]
        else:
            environment.pop(f"APPTAINERENV_{name}", None)
    torch_home = torch_cache(environment)
    environment["APPTAINERENV_TORCH_HOME"] = str(torch_home)
    wanted = ["--cleanenv", THREADS, *map(mount, outside([*paths, "results", torch_home], folder))]
    return " ".join(
        [*([arguments] if arguments else []), *(argument for argument in wanted if argument not in arguments)]
    )


def torch_cache(environment: Mapping[str, str]) -> Path:
    """Where torch keeps the weights that it has fetched; inside, the home folder is the working directory."""
    cache = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", "~")).expanduser() / ".cache"
    return Path(environment.get("TORCH_HOME") or Path(cache) / "torch")
