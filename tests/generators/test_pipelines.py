"""Pipelines of diffusers that were trained elsewhere: sampled and asked for their losses, from a folder alone."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel

from tests.conftest import run_script
from workflow_scripts.audit.measures import by_model
from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import write_npy, write_parquet
from workflow_scripts.data.pipeline_folder import require_pipeline
from workflow_scripts.generators import pipelines
from workflow_scripts.generators.diffusion import Diffusion
from workflow_scripts.generators.model import ImageShape, from_uint8
from workflow_scripts.generators.pipelines import PipelineLosses, open_pipeline, sample_pipeline
from workflow_scripts.generators.presets import DiffusionSettings

CPU = torch.device("cpu")


def network() -> UNet2DModel:
    torch.manual_seed(0)
    return UNet2DModel(
        sample_size=8,
        in_channels=3,
        out_channels=3,
        block_out_channels=(8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pipeline") / "mine"
    DDPMPipeline(network(), DDPMScheduler(50)).save_pretrained(path)
    return path


def test_samples_are_those_of_the_pipeline_whatever_the_batches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = folder.parent / "drawn.npy"
    settings = {"samples": {"path": str(folder), "count": 5, "steps": 4, "seed": 3}}
    run_script("audit/draw_pipeline_samples", {"pipeline": folder}, {"images": drawn}, settings)
    images = np.load(drawn)
    assert (images.dtype, images.shape) == (np.uint8, (5, 8, 8, 3))
    assert len(np.unique(images.reshape(5, -1), axis=0)) == 5
    monkeypatch.setattr(pipelines, "SAMPLED_AT_ONCE", 2)
    again = sample_pipeline(open_pipeline(folder, CPU), 5, 4, 3)
    assert np.abs(again.astype(int) - images).max() <= 1
    assert (sample_pipeline(open_pipeline(folder, CPU), 5, 4, 4) != images).any()


def test_a_pipeline_is_asked_for_the_losses_that_its_model_has_here(tmp_path: Path) -> None:
    """A diffusion model of Copycat's own, saved as a pipeline, and asked through the rule's script."""
    settings = DiffusionSettings(steps=1, batch=1, widths=(8, 8), layers=1)
    model = Diffusion(settings, ImageShape(8, 3), CPU)
    DDPMPipeline(model.networks["ema"], model.noising).save_pretrained(tmp_path / "mine")
    files = {name: tmp_path / name for name in ("images", "labels")} | {"pipeline": tmp_path / "mine"}
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
    write_npy(files["images"], images)
    columns = {"label": np.zeros(30, np.int32), "held_out": (np.arange(30) >= 10).astype(np.uint8)}
    write_parquet(files["labels"], pd.DataFrame(columns))
    losses = tmp_path / "losses.parquet"
    run_script("audit/score_by_generator", files, {"losses": losses}, {"split": "whole", "seed": 0})
    expected = model.losses(from_uint8(torch.from_numpy(images)), None)
    np.testing.assert_allclose(pd.read_parquet(losses)["denoising loss"], expected, rtol=1e-4)
    measured = by_model(str(losses), np.arange(10), np.arange(10, 30), np.arange(30))
    assert measured is not None
    assert (measured["members"], measured["controls"]) == (10, 20)
    larger = torch.rand(2, 1, 16, 16)  # than the network's images, and grey
    assert PipelineLosses(open_pipeline(tmp_path / "mine", CPU)).losses(larger).isfinite().all()


def test_a_pipeline_whose_scheduler_is_another_one_is_read_with_it(folder: Path, tmp_path: Path) -> None:
    DDPMPipeline(network(), DDIMScheduler(50)).save_pretrained(tmp_path / "other")
    assert open_pipeline(tmp_path / "other", CPU).scheduler.config.num_train_timesteps == 50


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokenizer": ["transformers", "CLIPTokenizer"]}, "tokenizer (CLIPTokenizer); only unconditional ones"),
        ({"unet": ["my_module", "UNet2DModel"]}, "only unconditional ones"),
        ({"unet": ["diffusers", "UNet2DConditionModel"]}, "unet (UNet2DConditionModel)"),
        (None, "not the index of a diffusers pipeline"),
    ],
)
def test_other_pipelines_are_refused_in_a_line(
    folder: Path, tmp_path: Path, change: dict[str, list[str]] | None, message: str
) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (tmp_path / "unet").mkdir()
    (tmp_path / "model_index.json").write_text("{" if change is None else json.dumps(index | change))
    with pytest.raises(InputError) as error:
        open_pipeline(tmp_path, CPU)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_weights_that_are_no_safetensors_are_refused_and_broken_ones_named(folder: Path, tmp_path: Path) -> None:
    DDPMPipeline(network(), DDPMScheduler(50)).save_pretrained(tmp_path / "pickled", safe_serialization=False)
    with pytest.raises(InputError, match="holds no weights as safetensors"):
        require_pipeline(tmp_path / "pickled")
    DDPMPipeline(network(), DDPMScheduler(50)).save_pretrained(tmp_path / "broken")
    [weights] = (tmp_path / "broken/unet").glob("*.safetensors")
    weights.write_bytes(b"no weights")
    with pytest.raises(InputError, match="diffusers cannot read this pipeline"):
        open_pipeline(tmp_path / "broken", CPU)
    with pytest.raises(InputError, match=r"holds no model_index\.json"):
        require_pipeline(tmp_path)
