"""Augmentation of what a discriminator sees: adaptive (ADA, Karras et al. 2020) and DiffAugment (Zhao et al. 2020).

Every operation is batched, stays on the device and can be differentiated twice, so that gradient penalties reach
through it. Images are float32 (B, C, H, W), nominally in -1..1; each image draws its own parameters. The draws come
from torch's default generator and are the same however many processes share the batch.
"""

import math
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from workflow_scripts.core.errors import InputError
from workflow_scripts.training.processes import global_rand, global_randn, world_size

# Symlet of order 6 (Daubechies, Ten Lectures on Wavelets, 1992): the orthogonal low-pass filter that Karras et al. use.
SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466,
    0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578,
    0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
DELAY = sum(i * tap for i, tap in enumerate(SYM6)) / sum(SYM6)  # by how many samples the filter shifts an image
METHODS = ("none", "ada", "diffaugment")
ADAPT_EVERY = 4  # batches between two changes of the adaptive probability


def diff_augment(images: Tensor) -> Tensor:
    """DiffAugment with all three policies: colour, translation by up to an eighth, cutout of half the side."""
    count, _, height, width = images.shape
    u = global_rand(count, 7, device=images.device)[..., None, None, None].unbind(1)
    x = images + (u[0] - 0.5)
    grey = x.mean(1, keepdim=True)
    x = torch.lerp(grey, x, 2 * u[1])
    x = torch.lerp(x.mean((1, 2, 3), keepdim=True), x, u[2] + 0.5)
    rows, columns = torch.arange(height, device=x.device), torch.arange(width, device=x.device)

    def offset(uniform: Tensor, least: int, most: int) -> Tensor:
        """Uniform integers (B, 1) from `least` to `most`."""
        return (uniform.view(-1, 1) * (most - least + 1)).floor().long() + least

    pad = (height + 4) // 8, (width + 4) // 8
    rows_from = rows + offset(u[3], 0, 2 * pad[0])
    columns_from = columns + offset(u[4], 0, 2 * pad[1])
    padded = F.pad(x, (pad[1], pad[1], pad[0], pad[0])).permute(0, 2, 3, 1)
    each = torch.arange(count, device=x.device)[:, None, None]
    x = padded[each, rows_from[:, :, None], columns_from[:, None, :]].permute(0, 3, 1, 2)

    side = (height + 1) // 2, (width + 1) // 2
    first_row = offset(u[5], 0, height - side[0] % 2) - side[0] // 2
    first_column = offset(u[6], 0, width - side[1] % 2) - side[1] // 2
    cut_rows = (rows >= first_row) & (rows < first_row + side[0])
    cut_columns = (columns >= first_column) & (columns < first_column + side[1])
    return x * ~(cut_rows[:, None, :, None] & cut_columns[:, None, None, :])


def supersampling(resolution: int) -> tuple[Tensor, Tensor]:
    """Matrices that double and halve an axis with the sym6 filter: (2 R + 10, R) and (R, 2 R + 10).

    The doubled axis reaches 5 samples beyond the image on both sides, where the image goes on mirrored. As the filter
    is orthogonal to its even shifts, halving undoes doubling exactly.
    """
    margin, doubled = len(SYM6) // 2 - 1, 2 * resolution + len(SYM6) - 2
    taps = torch.tensor(SYM6, dtype=torch.float64)
    # Pixel i reaches the samples 2 i .. 2 i + 11 of the doubled axis, counted from the start of its margin.
    pixels = torch.arange(-margin, resolution + margin)[:, None].expand(-1, len(taps))
    samples = 2 * pixels + torch.arange(len(taps))
    inside = (samples >= 0) & (samples < doubled)
    double = torch.zeros(doubled, resolution, dtype=torch.float64)
    double.index_put_(
        (samples[inside], mirrored(pixels, resolution)[inside]), taps.expand(samples.shape)[inside], accumulate=True
    )
    halve = torch.zeros(resolution, doubled, dtype=torch.float64)
    halve.scatter_(1, samples[margin : margin + resolution], taps.expand(resolution, -1))
    return (double * math.sqrt(2)).float(), (halve / math.sqrt(2)).float()


def mirrored(index: Tensor, size: int) -> Tensor:
    """Indices into a row of `size` samples that is continued by its mirror image, edge sample repeated."""
    index = index % (2 * size)
    return torch.minimum(index, 2 * size - 1 - index)


def resample(samples: Tensor, u: Tensor, v: Tensor, size: int, margin: int) -> Tensor:
    """Bilinear values of `samples` (B, S, S, C) at columns u and rows v (B, N, N): (B, N, N, C).

    Positions count from the image's first sample, `margin` samples into the row; beyond the row the image is mirrored.
    """
    count, side = samples.shape[:2]
    rows = samples.reshape(count * side * side, -1)
    corner_u, corner_v = u.floor(), v.floor()

    def inside(index: Tensor) -> Tensor:
        within = (index >= -margin) & (index < size + margin)
        return torch.where(within, index, mirrored(index, size)).long() + margin

    result = torch.zeros((), device=samples.device)
    first = torch.arange(count, device=samples.device).view(-1, 1, 1) * side * side
    for dv in (0, 1):
        weight_v = (1 - dv) + (2 * dv - 1) * (v - corner_v)
        for du in (0, 1):
            weight = weight_v * ((1 - du) + (2 * du - 1) * (u - corner_u))
            index = first + inside(corner_v + dv) * side + inside(corner_u + du)
            result = result + rows.index_select(0, index.flatten()).view(*u.shape, -1) * weight[..., None]
    return result


def matrices(*rows: list[Tensor | float]) -> Tensor:
    """Matrices (B, rows, columns) from entries that are numbers or (B,)."""
    batched = next(entry for row in rows for entry in row if isinstance(entry, Tensor))
    entries = [
        [entry if isinstance(entry, Tensor) else torch.full_like(batched, entry) for entry in row] for row in rows
    ]
    return torch.stack([torch.stack(row, -1) for row in entries], -2)


def scaling(x: Tensor, y: Tensor) -> Tensor:
    return matrices([x, 0, 0], [0, y, 0], [0, 0, 1])


def rotation(angle: Tensor) -> Tensor:
    cosine, sine = angle.cos(), angle.sin()
    return matrices([cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1])


def translation(x: Tensor, y: Tensor) -> Tensor:
    ones = torch.ones_like(x)
    return matrices([ones, 0, x], [0, ones, y], [0, 0, 1])


def random_geometry(count: int, probability: Tensor, resolution: int) -> Tensor:
    """Inverse transformations (B, 3, 3), in pixels from the centre, of ADA's blits and affine transformations."""
    device = probability.device
    chosen, u = global_rand(count, 16, device=device).split(8, 1)
    n = global_randn(count, 4, device=device)
    # At least one of the two rotations is to occur with the probability itself.
    p, turned = probability, 1 - (1 - probability).sqrt()
    use = (chosen < torch.stack([p, p, p, p, turned, p, turned, p])).to(u.dtype).unbind(1)
    u, n = u.unbind(1), n.unbind(1)  # type: ignore[assignment]
    flip = 1 - 2 * use[0] * (u[0] < 0.5)
    quarter_turns = use[1] * (4 * u[1]).floor()
    shift = [use[2] * ((2 * u[i] - 1) * 0.125 * resolution).round() for i in (2, 3)]
    scale = torch.exp2(-0.2 * use[3] * n[0])
    stretch = torch.exp2(-0.2 * use[5] * n[1])
    turns = [use[i] * (2 * u[i] - 1) * math.pi for i in (4, 6)]
    drift = [use[7] * n[i] * 0.125 * resolution for i in (2, 3)]
    steps = [
        scaling(flip, torch.ones_like(flip)),
        rotation(quarter_turns * (math.pi / 2)),
        translation(*shift),
        scaling(scale, scale),
        rotation(turns[0]),
        scaling(stretch, 1 / stretch),
        rotation(turns[1]),
        translation(*drift),
    ]
    inverse = steps[0]
    for step in steps[1:]:
        inverse = inverse @ step
    return inverse


def random_colour(count: int, probability: Tensor, channels: int) -> Tensor:
    """Affine maps (B, C, C + 1) of the channels: ADA's brightness, contrast, luma flip, hue and saturation."""
    device = probability.device
    chosen, u = global_rand(count, 7, device=device).split([5, 2], 1)
    n = global_randn(count, 3, device=device)
    use = (chosen < probability).to(u.dtype)
    brightness = 0.2 * use[:, 0] * n[:, 0]
    contrast = torch.exp2(0.5 * use[:, 1] * n[:, 1])
    flip = use[:, 2] * (u[:, 0] < 0.5)
    angle = use[:, 3] * (2 * u[:, 1] - 1) * math.pi
    saturation = torch.exp2(use[:, 4] * n[:, 2])
    if channels == 1:
        gain = contrast * (1 - 2 * flip)
        return torch.stack([gain, gain * brightness], -1)[:, None, :]
    luma = torch.full((3, 3), 1 / 3, device=device)  # projection onto the grey axis
    axes = torch.eye(3, device=device)
    chroma, cross = axes - luma, torch.linalg.cross(axes, luma * math.sqrt(3))
    cosine, sine = (saturation * angle.cos())[:, None, None], (saturation * angle.sin())[:, None, None]
    # Luma and chroma are turned apart: luma by its sign, chroma by hue and saturation.
    linear = (1 - 2 * flip)[:, None, None] * luma + cosine * chroma + sine * cross
    linear = contrast[:, None, None] * linear
    return torch.cat([linear, (linear.sum(2) * brightness[:, None])[..., None]], 2)


class Augmenter:
    """Augments images by one of `METHODS`; holds ADA's probability. Raises InputError for another method.

    ADA is Karras et al.'s "bgc" pipeline: pixel blits, geometric and colour transformations, each with a probability
    that `observe` raises while the mean sign of the logits of training images exceeds `target`, and lowers otherwise;
    it can go from 0 to 1 within `images` images. The sym6 filter keeps geometric transformations free of aliasing.
    """

    def __init__(self, method: str, resolution: int, target: float, images: int, device: torch.device) -> None:
        if method not in METHODS:
            raise InputError(f"generators: augment is {method!r}; expected one of {', '.join(METHODS)}")
        self.method, self.target, self.images = method, target, images
        self.probability = torch.zeros((), device=device)
        self.signs = torch.zeros((), device=device)
        self.observed = 0
        if method == "ada":
            self.double, self.halve = (matrix.to(device) for matrix in supersampling(resolution))

    def __call__(self, images: Tensor) -> Tensor:
        if self.method == "none":
            return images
        return diff_augment(images) if self.method == "diffaugment" else self._adaptive(images)

    def _adaptive(self, images: Tensor) -> Tensor:
        count, channels, size, _ = images.shape
        inverse = random_geometry(count, self.probability, size)
        margin = len(self.double) // 2 - size
        # Positions of the doubled samples in pixels from the image's centre, and where their values come from.
        centre = size - 1 + DELAY
        axis = (torch.arange(len(self.double), device=images.device) - centre) / 2
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"))
        source = inverse[:, :2, :2] @ grid.flatten(1) + inverse[:, :2, 2:]
        u, v = (2 * source + (centre - margin)).view(count, 2, len(axis), len(axis)).unbind(1)
        doubled = (self.double @ images @ self.double.T).permute(0, 2, 3, 1)
        # Positions on a sample, up to rounding, are taken to be on it: what is not transformed stays as it is.
        u, v = (torch.where((at - at.round()).abs() < 1e-3, at.round(), at) for at in (u, v))
        x = self.halve @ resample(doubled, u, v, 2 * size, margin).permute(0, 3, 1, 2) @ self.halve.T
        colour = random_colour(count, self.probability, channels)
        return (colour[:, :, :-1] @ x.flatten(2) + colour[:, :, -1:]).view_as(images)

    def is_due(self) -> bool:
        """Count a batch; whether the probability is adapted after it."""
        self.observed += self.method == "ada"
        return self.method == "ada" and self.observed % ADAPT_EVERY == 0

    def observe(self, sign: Tensor, batch: int, adapts: bool) -> None:
        """Note the mean sign of a batch's logits of training images, and perhaps adapt the probability.

        batch: images in the batch, over all processes.
        """
        if self.method != "ada":
            return
        self.signs += sign
        if not adapts:
            return
        if world_size() > 1:
            dist.all_reduce(self.signs)
        direction = (self.signs / (ADAPT_EVERY * world_size()) - self.target).sign()
        self.probability.add_(direction, alpha=batch * ADAPT_EVERY / self.images).clamp_(0, 1)
        self.signs.zero_()

    def state(self) -> dict[str, Any]:
        """Everything that later augmentation depends on."""
        return {"probability": self.probability, "signs": self.signs, "observed": self.observed}

    def load_state(self, state: dict[str, Any]) -> None:
        self.probability.copy_(state["probability"])
        self.signs.copy_(state["signs"])
        self.observed = state["observed"]
