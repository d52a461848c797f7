"""Spectral normalisation (Miyato et al. 2018) of all layers of a network at once: those of one shape in one operation.

Torch's parametrisation takes some twenty operations a layer, and a GPU takes longer to start them than to do them.
"""

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

EPS = 1e-6
FIRST_ITERATIONS = 16  # of the power method, on the initial weights


class SpectralNorm(nn.Module):
    """Keeps the singular vectors of a network's layers, and gives their weights divided by the largest singular value.

    layers: each has a `weight`, of which the first axis counts outputs, and takes what it computes with from
    `normalised` and, where the format is not float32, `shift` (its bias). Singular vectors are estimated by one power
    iteration a call in training. Everything is float32, also under autocast; the results come in autocast's format.
    """

    left: Tensor
    right: Tensor
    nothing: Tensor

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        groups: dict[torch.Size, list[nn.Module]] = {}
        for layer in layers:
            groups.setdefault(_matrix(layer.get_parameter("weight")).shape, []).append(layer)
        self.groups = list(groups.values())  # a list of lists: no parts of this module a second time
        self.shifted = [layer for layer in layers if getattr(layer, "bias", None) is not None]
        self.shapes = [(len(group), *shape) for shape, group in groups.items()]
        for side, axis in (("left", 1), ("right", 2)):
            lengths = np.array([shape[axis] for shape in self.shapes for _ in range(shape[0])])
            self.register_buffer(side, torch.randn(int(lengths.sum())))
            owner = np.arange(len(lengths)).repeat(lengths)
            # Each vector in a row of its own, filled up from the end of the numbers, where a zero is put.
            places = np.full((len(lengths), lengths.max()), len(owner))
            places[np.arange(places.shape[1]) < lengths[:, None]] = np.arange(len(owner))
            self.register_buffer(f"{side}_owner", torch.from_numpy(owner), persistent=False)
            self.register_buffer(f"{side}_places", torch.from_numpy(places), persistent=False)
        weights = [torch.stack([_matrix(layer.get_parameter("weight").detach()) for layer in g]) for g in self.groups]
        self.register_buffer("nothing", torch.zeros(1), persistent=False)
        self._normalise("right", [self.right.clone()])
        for _ in range(FIRST_ITERATIONS):
            self._iterate(weights)

    def forward(self) -> torch.dtype:
        """Give every layer its normalised weight, and say in which format."""
        device = self.left.device.type
        kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
        with torch.autocast(device, enabled=False):
            weights = [[layer.get_parameter("weight") for layer in group] for group in self.groups]
            stacks = [torch.stack([_matrix(weight) for weight in group]) for group in weights]
            constants = [stack.detach() for stack in stacks]
            values = self._iterate(constants) if self.training else self._singular_values(constants)
            columns = self._vectors("left", self.left / -values[self.get_buffer("left_owner")])
            sigmas = [part.view(-1, 1, 1) for part in values.split([shape[0] for shape in self.shapes])]
            parts = zip(self.groups, weights, stacks, columns, self._vectors("right"), sigmas, strict=True)
            for layers, originals, stack, column, right, sigma in parts:
                matrices = cast(Tensor, _Divide.apply(stack, column, right, sigma, kind))
                for layer, original, matrix in zip(layers, originals, matrices.unbind(), strict=True):
                    layer.normalised = _like(matrix, original)
            biases = [layer.get_parameter("bias") for layer in self.shifted]
            if kind != torch.float32 and biases:
                shifts = torch.cat([*biases]).to(kind).split([len(bias) for bias in biases])
                for layer, shift in zip(self.shifted, shifts, strict=True):
                    layer.shift = shift
        return kind

    def _vectors(self, side: str, numbers: Tensor | None = None) -> list[Tensor]:
        """Vectors (n, outputs or inputs, 1) of each group of n layers: the singular ones of a side, or `numbers`."""
        sizes = [(count, outputs if side == "left" else inputs) for count, outputs, inputs in self.shapes]
        numbers = self.get_buffer(side) if numbers is None else numbers
        parts = numbers.split([count * size for count, size in sizes])
        return [part.view(*size, 1) for part, size in zip(parts, sizes, strict=True)]

    @torch.no_grad()
    def _iterate(self, weights: list[Tensor]) -> Tensor:
        """One iteration of the power method on each group's matrices; gives the singular values of all layers (L,)."""
        self._normalise("left", [torch.bmm(*pair) for pair in zip(weights, self._vectors("right"), strict=True)])
        pairs = zip(self._vectors("left"), weights, strict=True)
        return self._normalise("right", [torch.bmm(left.mT, matrices) for left, matrices in pairs])

    @torch.no_grad()
    def _singular_values(self, weights: list[Tensor]) -> Tensor:
        parts = zip(self._vectors("left"), weights, self._vectors("right"), strict=True)
        return torch.cat([torch.bmm(torch.bmm(left.mT, matrices), right).flatten() for left, matrices, right in parts])

    def _normalise(self, side: str, images: list[Tensor]) -> Tensor:
        """Store the vectors of all groups at unit length; gives their lengths (L,)."""
        numbers = torch.cat([*(image.flatten() for image in images), self.nothing])
        lengths = numbers[self.get_buffer(f"{side}_places")].norm(dim=1).clamp_min_(EPS)
        torch.div(numbers[:-1], lengths[self.get_buffer(f"{side}_owner")], out=self.get_buffer(side))
        return lengths


class _Divide(torch.autograd.Function):
    """Matrices (n, outputs, inputs) over their singular values, whose gradient is the outer product of the vectors.

    left: the left vectors, over the singular values and with the other sign.
    """

    @staticmethod
    def forward(ctx: Any, weights: Tensor, left: Tensor, right: Tensor, sigma: Tensor, kind: torch.dtype) -> Tensor:
        ctx.save_for_backward(weights, left, right, sigma)
        return torch.div(weights, sigma, out=torch.empty_like(weights, dtype=kind))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weights, left, right, sigma = ctx.saved_tensors
        gradient = gradient.float()
        along = torch.bmm(gradient.flatten(1)[:, None], weights.flatten(1)[:, :, None])
        return torch.baddbmm(gradient, left * along, right.mT) / sigma, None, None, None, None


def _matrix(weight: Tensor) -> Tensor:
    """A weight as a matrix (outputs, inputs); a view if a convolution's has its channels last in memory."""
    return weight if weight.ndim == 2 else weight.permute(0, 2, 3, 1).flatten(1)


def _like(matrix: Tensor, weight: Tensor) -> Tensor:
    if weight.ndim == 2:
        return matrix
    outputs, inputs, height, width = weight.shape
    return matrix.view(outputs, height, width, inputs).permute(0, 3, 1, 2)


class Conv2d(nn.Conv2d):
    """A convolution that keeps the resolution, with orthogonal initial weights, which computes with `normalised`."""

    normalised: Tensor
    shift: Tensor | None = None

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.normalised, _bias(self), padding=self.padding)


class Linear(nn.Linear):
    """A linear layer with orthogonal initial weights, which computes with `normalised`."""

    normalised: Tensor
    shift: Tensor | None = None

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, bias)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.normalised, _bias(self))


class Embedding(nn.Embedding):
    """An embedding of classes that looks up in `normalised`."""

    normalised: Tensor

    def forward(self, labels: Tensor) -> Tensor:
        return nn.functional.embedding(labels, self.normalised)


def _bias(layer: Conv2d | Linear) -> Tensor | None:
    """In the format of the normalised weight."""
    return layer.bias if layer.bias is None or layer.normalised.dtype == layer.bias.dtype else layer.shift


def _initialise(layer: nn.Conv2d | nn.Linear) -> None:
    nn.init.orthogonal_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def spectral_norm(network: nn.Module) -> SpectralNorm:
    """The normalisation of all layers of this file in a network, which calls it at the start of its forward."""
    return SpectralNorm([layer for layer in network.modules() if isinstance(layer, Conv2d | Linear | Embedding)])
