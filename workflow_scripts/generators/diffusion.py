"""Denoising diffusion (Ho, Jain, Abbeel 2020) on the diffusers library: its U-Net and its schedulers.

Conditional models are trained with part of the classes hidden, so that sampling can be guided (Ho and Salimans 2022).
"""

from collections.abc import Callable, Hashable

import torch
import torch.nn.functional as F
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from torch import Tensor, nn

from workflow_scripts.core.devices import in_batches
from workflow_scripts.core.progress import tracked
from workflow_scripts.generators.model import Batch, GenerativeModel, ImageShape, frozen_copy, to_uint8
from workflow_scripts.generators.presets import SAMPLED_AT_ONCE, DiffusionSettings
from workflow_scripts.training.optimisers import eager
from workflow_scripts.training.processes import global_rand, global_randn

LOSS_LEVELS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4)  # shares of the noise levels at which an image's loss is measured


def unet(settings: DiffusionSettings, shape: ImageShape) -> UNet2DModel:
    """The network: noisy images (B, C, H, W), noise levels (B,) and classes (B,) to its prediction (B, C, H, W)."""
    resolutions = [shape.resolution >> i for i in range(len(settings.widths))]
    attentive = [resolution in settings.attention for resolution in resolutions]
    return UNet2DModel(
        sample_size=shape.resolution,
        in_channels=shape.channels,
        out_channels=shape.channels,
        block_out_channels=settings.widths,
        layers_per_block=settings.layers,
        down_block_types=tuple("AttnDownBlock2D" if attends else "DownBlock2D" for attends in attentive),
        up_block_types=tuple("AttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(attentive)),
        add_attention=bool(settings.attention),
        norm_num_groups=settings.groups,
        dropout=settings.dropout,
        num_class_embeds=shape.classes + 1 if shape.classes else None,  # the last one: class unknown
    )


class Diffusion(GenerativeModel):
    """A diffusion model in training."""

    loss_names = ("denoising_loss",)
    asked = "denoising loss"
    settings: DiffusionSettings

    def __init__(self, settings: DiffusionSettings, shape: ImageShape, device: torch.device) -> None:
        super().__init__(settings, shape, device)
        network: nn.Module = unet(settings, shape)
        # On a CPU group normalisation of images with channels last takes longer than the convolutions save by it.
        self.layout = torch.channels_last if device.type == "cuda" else torch.contiguous_format
        network = network.to(device).to(memory_format=self.layout)
        self.networks = {"network": network, "ema": frozen_copy(network)}
        adam = eager(torch.optim.Adam)(network.parameters(), settings.learning_rate, fused=True)
        self.optimisers = {"network": adam}
        self.noising = DDPMScheduler(
            settings.noise_levels, beta_schedule=settings.noise_schedule, prediction_type=settings.prediction
        )
        self._predict = torch.compile(network) if settings.compile else network

    def begin(self) -> Hashable:
        kind = super().begin()
        rate = self.settings.learning_rate * min(1.0, self.steps_done / max(1, self.settings.warm_up))
        for group in self.optimisers["network"].param_groups:
            group["lr"] = rate
        return kind if self.steps_done >= self.settings.warm_up else None

    def compute(self, batches: list[Batch], kind: Hashable) -> Tensor:
        [batch] = batches
        losses = []
        for images, labels in self.micro_batches(batch):
            level = (global_rand(len(images), device=self.device) * self.settings.noise_levels).long()
            noise = global_randn(len(images), *images.shape[1:], device=self.device)
            noisy = self.noising.add_noise(images, noise, level).contiguous(memory_format=self.layout)
            target = noise
            if self.settings.prediction == "v_prediction":
                target = self.noising.get_velocity(images, noise, level)
            known = None
            if self.shape.classes:
                hidden = global_rand(len(images), device=self.device) < self.settings.label_dropout
                known = torch.where(hidden, self.shape.classes, labels)
            with self.autocast():
                predicted = self._predict(noisy, level, known).sample
            loss = F.mse_loss(predicted.float(), target)
            loss.backward()
            losses.append(loss.detach())
        self.update("network")
        self.average_weights(self.networks["network"])
        return torch.stack(losses).mean().reshape(1)

    @torch.no_grad()
    def sample(self, count: int, labels: Tensor | None, seed: int) -> Tensor:
        random = torch.Generator(self.device).manual_seed(seed)
        size = (self.shape.channels, self.shape.resolution, self.shape.resolution)
        # All noise is drawn first, so that the batches below do not matter to the result.
        noise = torch.randn(count, *size, device=self.device, generator=random)

        def denoise(rows: slice) -> Tensor:
            return to_uint8(self._denoise(noise[rows], None if labels is None else labels[rows]))

        return torch.cat([*tracked(in_batches(denoise, count, SAMPLED_AT_ONCE), count, "images", "sampling")])

    @torch.no_grad()
    def losses(self, images: Tensor, labels: Tensor | None, seed: int = 0) -> Tensor:
        """The averaged network's denoising loss (B,) of each image (B, C, H, W) in -1..1; see denoising_losses."""
        known = labels if self.shape.classes else None

        def predict(noisy: Tensor, level: Tensor) -> Tensor:
            with self.autocast():
                return self.networks["ema"](noisy.contiguous(memory_format=self.layout), level, known).sample

        levels = self.noising.alphas_cumprod.to(self.device)
        return denoising_losses(predict, levels, self.settings.prediction, images, seed)

    def _denoise(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Noise (B, C, H, W) to images in -1..1, step by step."""
        kind = {"ddim": DDIMScheduler, "dpm_solver": DPMSolverMultistepScheduler}[self.settings.sampler]
        scheduler = kind.from_config(self.noising.config)
        # The scheduler's stay on the CPU: it looks at them, which would make a GPU wait.
        scheduler.set_timesteps(self.settings.sampling_steps)
        for level, shown in zip(scheduler.timesteps, scheduler.timesteps.to(self.device), strict=True):
            with self.autocast():
                predicted = self._guided(self.networks["ema"], images, shown, labels)
            images = scheduler.step(predicted.float(), level, images).prev_sample
        return images

    def _guided(self, network: nn.Module, images: Tensor, level: Tensor, labels: Tensor | None) -> Tensor:
        """The prediction, drawn away from that for an unknown class by the guidance scale."""
        if not self.shape.classes or labels is None:
            return network(images, level).sample
        scale = self.settings.guidance
        if scale == 1.0:
            return network(images, level, labels).sample
        unknown = torch.full_like(labels, self.shape.classes)
        both = network(torch.cat([images, images]), level, torch.cat([labels, unknown])).sample
        with_class, without = both.chunk(2)
        return without + scale * (with_class - without)


def denoising_losses(
    predict: Callable[[Tensor, Tensor], Tensor], signal: Tensor, prediction: str, images: Tensor, seed: int
) -> Tensor:
    """The denoising loss (B,) of each image (B, C, H, W) in -1..1: low for images that a network was trained on.

    predict: of noisy images (B, C, H, W) at noise levels (B,); signal (levels,): the share of the image's variance at
    each level. The geometric mean over the levels LOSS_LEVELS, with the same noise for all images. (Carlini et al. 2023
    and Matsumoto et al. 2023 find medium levels to tell most.)
    """
    random = torch.Generator(images.device).manual_seed(seed)
    logs = []
    for share in LOSS_LEVELS:
        level = round(share * len(signal))
        noise = torch.randn(1, *images.shape[1:], device=images.device, generator=random).expand_as(images)
        kept, added = signal[level].sqrt(), (1 - signal[level]).sqrt()
        targets = {"epsilon": noise, "v_prediction": kept * noise - added * images, "sample": images}
        predicted = predict(kept * images + added * noise, torch.full((len(images),), level, device=images.device))
        logs.append((predicted.float() - targets[prediction]).square().mean(dim=(1, 2, 3)).log())
    return torch.stack(logs).mean(dim=0).exp()
