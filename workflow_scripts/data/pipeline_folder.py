"""Folders of diffusers pipelines that were trained elsewhere: what is accepted, told without opening the model."""

import json
from pathlib import Path

import numpy as np

from workflow_scripts.core.errors import InputError

INDEX = "model_index.json"
PARTS = {"unet": "UNet2DModel", "scheduler": ""}  # of a pipeline, with the class that is needed
OTHERS = "write samples with the script that you use it with, and give their folder"


def require_pipeline(path: Path) -> None:
    """Raise InputError unless the folder holds an unconditional pipeline of pixels, as its index says."""
    if not (path / INDEX).is_file():
        raise InputError(
            f"{path}: holds no {INDEX}; give the folder that `save_pretrained` of a diffusers pipeline wrote"
        )
    try:
        index = json.loads((path / INDEX).read_text(encoding="utf-8"))
        parts = {name: tuple(part) for name, part in index.items() if isinstance(part, list) and part[0] is not None}
    except (ValueError, AttributeError, IndexError) as cause:
        raise InputError(f"{path / INDEX}: not the index of a diffusers pipeline ({cause}); save it again") from cause
    fits = set(parts) == set(PARTS) and all(
        len(part) == 2 and part[0] == "diffusers" and part[1] in (PARTS[name] or part[1],)
        for name, part in parts.items()
    )
    if not fits:
        listed = ", ".join(f"{name} ({part[-1]})" for name, part in parts.items()) or "nothing"
        raise InputError(
            f"{path}: a pipeline of {listed}; only unconditional ones, of a UNet2DModel and a scheduler, are sampled "
            f"here: {OTHERS}"
        )
    if not [*(path / "unet").glob("*.safetensors")]:
        raise InputError(
            f"{path / 'unet'}: holds no weights as safetensors, and others could run any code; save the pipeline again "
            "with `save_pretrained(folder, safe_serialization=True)`"
        )


def pipeline_side(path: Path) -> float | None:
    """The side of its images, px, as the network's config has it; None where it has none."""
    try:
        size = json.loads((path / "unet/config.json").read_text(encoding="utf-8")).get("sample_size")
        return float(np.min(size)) if size else None
    except (OSError, ValueError, TypeError, AttributeError):  # the one who opens the pipeline says what is wrong
        return None
