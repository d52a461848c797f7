"""`make audit TRAIN=... SAMPLES=...`: write config/NAME.yaml for an audit of samples, run it, and judge by its answer.

It exits with 0 if at most the wanted percentage of samples are copies (by the upper end of the interval), with 1 if
there may be more, and with 2 for bad input or a run that failed. GNU make turns both into its own 2.
"""

import json
import os
import subprocess
import sys
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.config.datasets import SOURCES, WILDCARD
from workflow_scripts.config.samples import OF_DATASETS, packed_like
from workflow_scripts.config.validation import validate
from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import read_json, write_text
from workflow_scripts.data.decoding import is_grey
from workflow_scripts.data.groups import groups_of
from workflow_scripts.data.pipeline_folder import INDEX, pipeline_side, require_pipeline
from workflow_scripts.data.source import printable
from workflow_scripts.data.sources import open_source
from workflow_scripts.study.inspection import inspect
from workflow_scripts.study.proposal import config_file, this_machine
from workflow_scripts.study.recognition import settings_for

USAGE = 'make audit TRAIN="/folder of training images" SAMPLES=samples.npz [HELD_OUT=folder] [GROUPS=csv] [NAME=mine]'
SAMPLES = "model"  # their name in the config
LARGEST = 64  # px at which images are compared
LOOKED_AT = 256  # images of samples, and of held-out images, that tell their size and colour
TINT = 2.0  # levels between the channels of an image, on average, up to which it counts as grey


def audit_config(train: str, samples: str, held_out: str, groups: str, name: str) -> str:
    """The config of an audit as text. Raises InputError for paths that do not fit each other."""
    given = {"TRAIN": train, "SAMPLES": samples, "HELD_OUT": held_out}
    paths = {key: _path(key, value) for key, value in given.items() if value.strip() or key != "HELD_OUT"}
    for outer, inner in permutations(paths, 2):
        if paths[outer] in (paths[inner], *paths[inner].parents):
            raise InputError(
                f"{inner}: {paths[inner]} is {outer}, or lies inside it; keep training images, samples and held-out "
                "images apart"
            )
    seen = inspect(paths["TRAIN"], this_machine().cores)
    if not len(seen.sides):
        raise InputError(f"{seen.root}: holds no image that can be read")
    sides, coloured = {"TRAIN": float(np.median(seen.sides.min(axis=1)))}, bool(seen.coloured)
    for key in [*paths][1:]:
        side, tinted = _side_and_colour(paths[key])
        sides[key], coloured = side or sides["TRAIN"], coloured or tinted
    smallest = min(sides, key=lambda key: sides[key])
    resolution = int(np.clip(sides[smallest], 8, LARGEST))
    dataset = seen.settings | {"resolution": resolution, "color": "rgb" if coloured else "grey"}
    if "HELD_OUT" in paths:
        if dataset["source"] != settings_for(paths["HELD_OUT"])["source"] or "path" not in dataset:
            raise InputError(
                f"HELD_OUT: {paths['HELD_OUT']} has another form than TRAIN ({dataset['source']}), or that form has no "
                "place for held-out images; give both as folders, or both as .npz"
            )
        dataset["held_out_path"] = str(paths["HELD_OUT"])
    if groups.strip():
        dataset["groups"] = str(_path("GROUPS", groups))
    if pipeline := (paths["SAMPLES"] / INDEX).exists():
        require_pipeline(paths["SAMPLES"])
    read = {"source": "diffusers", "path": str(paths["SAMPLES"])} if pipeline else settings_for(paths["SAMPLES"])
    made = {key: value for key, value in read.items() if key not in OF_DATASETS}
    config = {
        "datasets": {name: dataset},
        "samples": {SAMPLES: made},
        "audit": {"datasets": {name: {"samples": [SAMPLES]}}},
    }
    validated = validate(config, name)
    # Whoever cannot be read says so now; the training images have been looked at.
    if not pipeline:
        open_source(packed_like(validated["samples"][SAMPLES], validated["datasets"][name]))
    if "HELD_OUT" in paths or groups.strip():
        source = open_source(validated["datasets"][name])
        groups_of([*map(source.origin, range(source.count))], dataset.get("groups"), dataset.get("group_pattern"))
    told = seen.lines()
    if resolution < min(sides["TRAIN"], LARGEST):
        told.append(f"compared at {resolution} px: the images of {smallest} have no more, those of TRAIN have")
    return "\n".join([HEAD, *(f"# {line}" for line in told), "", *_yaml(config)]) + "\n"


HEAD = "# An audit of samples, written by `make audit`. Every key is described in docs/config.md."


def _path(key: str, value: str) -> Path:
    if not value.strip():
        raise InputError(f"{key} is not given. {USAGE}")
    path = Path(value).expanduser().resolve()
    if not path.exists():
        raise InputError(f"{key}: {printable(str(path))}: no such file or folder")
    if wildcard := WILDCARD.search(str(path)):
        raise InputError(
            f"{key}: {printable(str(path))}: Snakemake takes {wildcard[0]} for a wildcard; rename it, or copy it to "
            "a path without braces"
        )
    if path.suffix == ".pkl":
        raise InputError(
            f"{key}: {printable(str(path))} is a pickle, which is never opened, since it could run any code; write the "
            "samples as images with the script that comes with the model (NVlabs: gen_images.py), and give their folder"
        )
    return path


def _side_and_colour(path: Path) -> tuple[float | None, bool]:
    """The shorter side of half of the images, px, None where it is not known; and whether any shows a colour.

    All sets are compared at the resolution of the smallest: images that are enlarged are blurred, and near to nothing.
    """
    if (path / INDEX).exists():
        return pipeline_side(path), False
    settings = settings_for(path)
    model = SOURCES[settings["source"]].model_validate({**settings, "resolution": LARGEST})
    source = open_source(model.model_dump(mode="json"))
    sides, coloured = [], False
    for i in np.unique(np.linspace(0, source.count - 1, min(source.count, LOOKED_AT)).astype(int)):
        try:
            image, _ = source.read(int(i))
            with image:
                sides.append(min(image.size))
                if not coloured and not is_grey(image):
                    coloured = bool(np.ptp(np.asarray(image.convert("RGB"), dtype=float), axis=-1).mean() > TINT)
        except MemoryError:
            raise
        except Exception:  # packing names what cannot be read
            continue
    return (float(np.median(sides)) if sides else None), coloured


def _yaml(config: dict[str, Any], indent: str = "") -> list[str]:
    """Mappings as lines, values as JSON, which YAML is a superset of."""
    lines: list[str] = []
    for key, value in config.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", *_yaml(value, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {json.dumps(value, ensure_ascii=False)}")
    return lines


def write_config(environment: dict[str, str], folder: Path) -> tuple[Path, str]:
    """The config's file and the name of its data set; one that is there is run again, and never replaced by another.

    environment: TRAIN, SAMPLES and the others. Raises InputError.
    """
    keys = ("TRAIN", "SAMPLES", "HELD_OUT", "AUDIT_GROUPS")
    train, samples, held_out, groups = (environment.get(key, "") for key in keys)
    name = environment.get("NAME", "") or "audit"
    path = config_file(folder, name, USAGE)
    if path.exists() and not train and not samples:
        return path, name
    text = audit_config(train, samples, held_out, groups, name)
    if path.exists() and _settings(path.read_text(encoding="utf-8")) != _settings(text):
        raise InputError(
            f"{path}: there already, with other settings, and is not replaced. Give another NAME, remove the file, or "
            f"run it as it is: make audit NAME={name}"
        )
    write_text(path, text)
    return path, name


def _settings(text: str) -> list[str]:
    """The lines of a config that are no comments: these say what the images were like at the time."""
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def main() -> int:
    try:
        path, name = write_config(dict(os.environ), Path("config"))
    except InputError as error:
        print(f"make audit: {error}", file=sys.stderr)
        return 2
    print(f"{path}: settings of this audit, which can be changed there.", flush=True)
    command = [sys.executable, "-m", "snakemake", "--configfile", str(path), "--quiet", "all", "--", "audit"]
    if subprocess.run(command).returncode:
        return 2
    answer = read_json(Path("results/audit") / name / "audit.json")
    print(f"The report: {Path('results/audit').resolve() / name / 'report.html'}")
    if not answer["passes"]:
        print(
            "This audit is not passed: it does not show that at most "
            f"{answer['wanted_percentage']:g} % of the samples are copies."
        )
    return 0 if answer["passes"] else 1


if __name__ == "__main__":
    sys.exit(main())
