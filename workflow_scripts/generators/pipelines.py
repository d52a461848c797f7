"""Diffusion models that were trained elsewhere: pipelines of the diffusers library in a folder of this machine.

Only unconditional ones whose U-Net makes the pixels themselves (DDPMPipeline, DDIMPipeline and the like), with their
weights as safetensors. Nothing is fetched, and no code of the folder is run.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.core.devices import in_batches
from workflow_scripts.core.errors import InputError
from workflow_scripts.core.progress import tracked
from workflow_scripts.data.pipeline_folder import require_pipeline

SAMPLED_AT_ONCE = 64  # images, or fewer where GPU memory is short


def open_pipeline(path: Path, device: torch.device) -> Any:
    """The pipeline of a folder on the device. Raises InputError if it is none that can be sampled here."""
    require_pipeline(path)
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline  # seconds to import

    logging.getLogger("diffusers").setLevel(logging.ERROR)
    try:
        pipeline = DiffusionPipeline.from_pretrained(str(path), local_files_only=True, use_safetensors=True)
    except Exception as cause:  # what a parser raises on a broken file is of many unrelated types
        why = " ".join(str(cause).split())[:300]
        raise InputError(f"{path}: diffusers cannot read this pipeline ({why}); save it again") from cause
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def sample_pipeline(pipeline: Any, count: int, steps: int | None, seed: int) -> np.ndarray:
    """So many images uint8 (count, H, W, C). Each has random numbers of its own, so batches do not matter to them.

    steps: of denoising; None: the pipeline's own number.
    """
    seeds = np.random.SeedSequence(seed).generate_state(count, np.uint64) >> np.uint64(1)
    chosen = {} if steps is None else {"num_inference_steps": steps}

    def draw(rows: slice) -> np.ndarray:
        randoms = [torch.Generator("cpu").manual_seed(int(number)) for number in seeds[rows]]
        images = pipeline(batch_size=len(randoms), generator=randoms, output_type="np", **chosen).images
        return (np.asarray(images) * 255).round().clip(0, 255).astype(np.uint8)

    return np.concatenate([*tracked(in_batches(draw, count, SAMPLED_AT_ONCE), count, "images", "sampling")])


class PipelineLosses:
    """The denoising losses of a pipeline's U-Net, as `Diffusion` has them of its own."""

    asked = "denoising loss"

    def __init__(self, pipeline: Any) -> None:
        self.network, self.scheduler = pipeline.unet, pipeline.scheduler
        self.network.eval()

    @property
    def known(self) -> bool:
        """Whether the scheduler adds noise by levels, and the network predicts noise, images or their velocity."""
        settings = self.scheduler.config
        kinds = ("epsilon", "v_prediction", "sample")
        levels = getattr(self.scheduler, "alphas_cumprod", None)
        return levels is not None and settings.get("prediction_type", "epsilon") in kinds

    @torch.no_grad()
    def losses(self, images: Tensor, seed: int = 0) -> Tensor:
        """Losses (B,) of images (B, C, H, W) in -1..1, which are scaled to the network's resolution and channels."""
        from workflow_scripts.generators.diffusion import denoising_losses

        side, channels = self.network.config.sample_size, self.network.config.in_channels
        size = (side, side) if isinstance(side, int) else tuple(side)
        if images.shape[-2:] != size:
            images = torch.nn.functional.interpolate(images, size, mode="bilinear", antialias=True)
        if images.shape[1] != channels:
            images = images.mean(dim=1, keepdim=True).expand(-1, channels, -1, -1)
        levels = self.scheduler.alphas_cumprod.to(images.device)
        prediction = self.scheduler.config.get("prediction_type", "epsilon")
        return denoising_losses(
            lambda noisy, level: self.network(noisy, level).sample, levels, prediction, images, seed
        )
