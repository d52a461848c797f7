"""`make audit`: from paths to a valid config, and clear refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.conftest import ROOT
from workflow_scripts.config.validation import validate
from workflow_scripts.core.errors import InputError
from workflow_scripts.data.pipeline_folder import pipeline_side
from workflow_scripts.study.audit import main, write_config


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
    assert config["samples"]["model"]["images_key"] == "arr_0"
    assert write_config(paths, tmp_path) == (path, name)
    assert write_config({"NAME": "mine"}, tmp_path) == (path, name)
    with pytest.raises(InputError, match="there already, with other settings"):
        write_config({**paths, "AUDIT_GROUPS": ""}, tmp_path)


@pytest.mark.slow
def test_a_config_that_was_edited_wrongly_is_explained(
    paths: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Snakemake, where it is quiet, says nothing of what it cannot plan."""
    monkeypatch.chdir(tmp_path)
    write_config(paths, tmp_path / "config")
    file = tmp_path / "config/mine.yaml"
    file.write_text(file.read_text().replace("resolution:", "resolutoin:"))
    (tmp_path / "Snakefile").write_text(f'include: "{ROOT / "Snakefile"}"\n')
    monkeypatch.setenv("NAME", "mine")
    for key in ("TRAIN", "SAMPLES", "HELD_OUT", "AUDIT_GROUPS"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert main() == 2
    assert 'did you mean "resolution"?' in capfd.readouterr().err


def test_samples_of_a_pipeline_are_drawn_from_its_folder(paths: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "pipeline"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet/model.safetensors").touch()
    index = {"unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "DDPMScheduler"]}
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "DDPMPipeline", **index}))
    path, _ = write_config({**paths, "SAMPLES": str(folder)}, tmp_path)
    drawn = validate(yaml.safe_load(path.read_text()))["samples"]["model"]
    assert (drawn["source"], drawn["path"], drawn["count"]) == ("diffusers", str(folder), 1000)


def test_all_are_compared_at_the_resolution_of_the_smallest_and_in_colour_if_any_has_it(
    paths: dict[str, str], tmp_path: Path
) -> None:
    """Copies that are enlarged are blurred, and lie beyond the threshold of sharp held-out images."""
    np.savez(tmp_path / "small.npz", arr_0=np.zeros((5, 12, 12, 3), dtype=np.uint8))
    path, _ = write_config({**paths, "SAMPLES": str(tmp_path / "small.npz")}, tmp_path)
    assert validate(yaml.safe_load(path.read_text()))["datasets"]["mine"]["resolution"] == 12
    assert "# compared at 12 px: the images of SAMPLES have no more, those of TRAIN have" in path.read_text()
    for part in ("training", "held out"):
        for file in (tmp_path / part).iterdir():
            Image.open(file).convert("L").save(file)
    for name, tint, color in (("tinted", 60, "rgb"), ("nearly-grey", 2, "grey")):
        samples = np.full((5, 32, 32, 3), 100, dtype=np.uint8)
        samples[..., 0] += tint
        np.savez(tmp_path / f"{name}.npz", arr_0=samples)
        path, _ = write_config({**paths, "SAMPLES": str(tmp_path / f"{name}.npz"), "NAME": name}, tmp_path)
        assert validate(yaml.safe_load(path.read_text()))["datasets"][name]["color"] == color


def test_a_pipeline_is_compared_at_its_own_resolution(paths: dict[str, str], tmp_path: Path) -> None:
    assert pipeline_side(tmp_path) is None
    (tmp_path / "unet").mkdir()
    for size, side in ((16, 16.0), ([24, 12], 12.0), (None, None), ("?", None)):
        (tmp_path / "unet/config.json").write_text(json.dumps({"sample_size": size}))
        assert pipeline_side(tmp_path) == side


def test_an_image_more_in_the_training_folder_is_no_other_setting(paths: dict[str, str], tmp_path: Path) -> None:
    paths = {**paths, "AUDIT_GROUPS": ""}
    write_config(paths, tmp_path)
    Image.new("RGB", (20, 24), "red").save(Path(paths["TRAIN"]) / "t3.png")
    path, _ = write_config(paths, tmp_path)
    assert "# 4 images in" in path.read_text()
    path.write_text(path.read_text().replace("resolution: 20", "resolution: 16"))
    with pytest.raises(InputError, match="there already, with other settings"):
        write_config(paths, tmp_path)
    assert "resolution: 16" in path.read_text()


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
        ({"SAMPLES": "BRACES"}, r"takes \{x\} for a wildcard"),
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
    (tmp_path / "of {x}").mkdir()
    (tmp_path / "latent").mkdir()
    (tmp_path / "latent/model_index.json").write_text('{"vae": ["diffusers", "AutoencoderKL"]}')
    known = {
        **paths, "INSIDE": str(inside), "EMPTY": str(tmp_path / "empty.npz"),
        "NOTHING": str(tmp_path / "nothing"), "NONE": str(tmp_path / "none.npy"), "AROUND": str(tmp_path),
        "ARCHIVE": str(tmp_path / "archive.npz"), "PICKLE": str(tmp_path / "network.pkl"),
        "SAME": str(tmp_path / "same.csv"), "LATENT": str(tmp_path / "latent"), "BRACES": str(tmp_path / "of {x}"),
    }  # fmt: skip
    with pytest.raises(InputError, match=message) as caught:
        write_config({**paths, **{key: known.get(value, value) for key, value in changes.items()}}, tmp_path / "config")
    assert "\n" not in str(caught.value)
