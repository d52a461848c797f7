"""`make audit`: from paths to a valid config, and clear refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from workflow_scripts.config.validation import validate
from workflow_scripts.core.errors import InputError
from workflow_scripts.study.audit import write_config


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, str]:
    """A folder of training images with held-out ones beside it, and samples as an archive of arrays."""
    random = np.random.default_rng(0)
    for part in ("training", "held out"):
        (tmp_path / part).mkdir()
        for i in range(3):
            image = Image.fromarray(random.integers(0, 256, (20, 24, 3), dtype=np.uint8))
            image.save(tmp_path / part / f"{part[0]}{i}.png")
    np.savez(tmp_path / "samples.npz", arr_0=random.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8))
    (tmp_path / "groups.csv").write_text("".join(f"{part}{i},{part}-{i}\n" for part in "th" for i in range(3)))
    (tmp_path / "same.csv").write_text("".join(f"{i},patient-{i}\n" for i in range(3)))
    return {
        "TRAIN": str(tmp_path / "training"),
        "SAMPLES": str(tmp_path / "samples.npz"),
        "HELD_OUT": str(tmp_path / "held out"),
        "AUDIT_GROUPS": str(tmp_path / "groups.csv"),
        "NAME": "mine",
    }


def test_a_config_is_written_that_is_right_and_can_be_run_again(paths: dict[str, str], tmp_path: Path) -> None:
    path, name = write_config(paths, tmp_path)
    config = validate(yaml.safe_load(path.read_text()))
    dataset = config["datasets"]["mine"]
    assert (name, dataset["resolution"], dataset["color"]) == ("mine", 20, "rgb")
    assert dataset["held_out_path"] == paths["HELD_OUT"]
    assert dataset["groups"] == paths["AUDIT_GROUPS"]
    assert config["samples"]["samples"]["images_key"] == "arr_0"
    assert write_config(paths, tmp_path) == (path, name)
    assert write_config({"NAME": "mine"}, tmp_path) == (path, name)
    with pytest.raises(InputError, match="there already, with other settings"):
        write_config({**paths, "AUDIT_GROUPS": ""}, tmp_path)


def test_samples_of_a_pipeline_are_drawn_from_its_folder(paths: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "pipeline"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet/model.safetensors").touch()
    index = {"unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "DDPMScheduler"]}
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "DDPMPipeline", **index}))
    path, _ = write_config({**paths, "SAMPLES": str(folder)}, tmp_path)
    drawn = validate(yaml.safe_load(path.read_text()))["samples"]["samples"]
    assert (drawn["source"], drawn["path"], drawn["count"]) == ("diffusers", str(folder), 1000)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"TRAIN": ""}, "TRAIN is not given"),
        ({"SAMPLES": "TRAIN"}, "SAMPLES: .* is TRAIN"),
        ({"HELD_OUT": "TRAIN"}, "HELD_OUT: .* is TRAIN, or lies inside it"),
        ({"HELD_OUT": "INSIDE"}, "HELD_OUT: .* is TRAIN, or lies inside it"),
        ({"HELD_OUT": "SAMPLES"}, "HELD_OUT: .* is SAMPLES"),
        ({"SAMPLES": "EMPTY"}, "holds no array of images"),
        ({"SAMPLES": "NOTHING"}, "nothing: holds no image"),
        ({"SAMPLES": "NONE"}, "holds no image; its shape is"),
        ({"HELD_OUT": "NOTHING"}, "nothing: holds no image"),
        ({"TRAIN": "AROUND"}, "SAMPLES: .* is TRAIN, or lies inside it"),
        ({"SAMPLES": "AROUND"}, "TRAIN: .* is SAMPLES, or lies inside it"),
        ({"SAMPLES": "PICKLE"}, "is a pickle, which is never opened"),
        ({"SAMPLES": "LATENT"}, "only unconditional ones"),
        ({"SAMPLES": "/nowhere"}, "no such file"),
        ({"NAME": "My audit"}, "expected small letters"),
        ({"HELD_OUT": "ARCHIVE"}, "has another form than TRAIN"),
        ({"AUDIT_GROUPS": "SAME"}, "names no group of t0.png"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    changes: dict[str, str], message: str, paths: dict[str, str], tmp_path: Path
) -> None:
    inside = tmp_path / "training/inside"
    inside.mkdir()
    np.savez(tmp_path / "empty.npz")
    (tmp_path / "nothing").mkdir()
    np.save(tmp_path / "none.npy", np.zeros((0, 8, 8), np.uint8))
    np.savez(tmp_path / "archive.npz", arr_0=np.zeros((2, 8, 8), np.uint8))
    (tmp_path / "network.pkl").write_bytes(b"")
    (tmp_path / "latent").mkdir()
    (tmp_path / "latent/model_index.json").write_text('{"vae": ["diffusers", "AutoencoderKL"]}')
    known = {
        **paths, "INSIDE": str(inside), "EMPTY": str(tmp_path / "empty.npz"),
        "NOTHING": str(tmp_path / "nothing"), "NONE": str(tmp_path / "none.npy"), "AROUND": str(tmp_path),
        "ARCHIVE": str(tmp_path / "archive.npz"), "PICKLE": str(tmp_path / "network.pkl"),
        "SAME": str(tmp_path / "same.csv"), "LATENT": str(tmp_path / "latent"),
    }  # fmt: skip
    with pytest.raises(InputError, match=message) as caught:
        write_config({**paths, **{key: known.get(value, value) for key, value in changes.items()}}, tmp_path / "config")
    assert "\n" not in str(caught.value)
