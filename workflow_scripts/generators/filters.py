"""StyleGAN2's low-pass filter, and two ways to fewer operations: derivatives without a loop, casts all at once.

Where torch.compile traces a network, it sees the plain operations, which it joins itself.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS_ALONE = torch.ops.aten.convolution_backward.default


class Filter(nn.Module):
    """The separable filter [1, 3, 3, 1], alone and with a change of resolution by two; zeros lie beyond the edges."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("kernel", torch.outer(taps, taps)[None, None], persistent=False)
        self._scaled: dict[tuple[float, torch.dtype, torch.device], Tensor] = {}

    def blur(self, x: Tensor, padding: int, gain: float = 1.0) -> Tensor:
        return _convolve(x, self._kernel(x, gain), 1, padding, False)

    def downsample(self, x: Tensor) -> Tensor:
        return _convolve(x, self._kernel(x, 1.0), 2, 1, False)

    def upsample(self, x: Tensor) -> Tensor:
        return _convolve(x, self._kernel(x, 4.0), 2, 1, True)

    def _kernel(self, x: Tensor, gain: float) -> Tensor:
        """The kernel (C, 1, 4, 4) in the format of x (B, C, H, W); all of its values are exact in every format."""
        if torch.compiler.is_compiling():
            return (self.kernel * gain).to(x.dtype).expand(x.shape[1], 1, 4, 4)
        key = gain, x.dtype, x.device
        if key not in self._scaled:
            self._scaled[key] = (self.kernel * gain).to(x.dtype)
        return self._scaled[key].expand(x.shape[1], 1, 4, 4)


def _convolve(x: Tensor, kernel: Tensor, stride: int, padding: int, transposed: bool) -> Tensor:
    if torch.compiler.is_compiling():
        return _plainly(x, kernel, stride, padding, transposed)
    return _Convolve.apply(x, kernel, stride, padding, transposed)


def _plainly(x: Tensor, kernel: Tensor, stride: int, padding: int, transposed: bool) -> Tensor:
    convolve = F.conv_transpose2d if transposed else F.conv2d
    return convolve(x, kernel, stride=stride, padding=padding, groups=len(kernel))


class _Convolve(torch.autograd.Function):
    """Each channel of x (B, C, H, W) with a fixed kernel (C, 1, 4, 4).

    Torch's second derivative of a grouped convolution is a loop over the groups, for the sake of the kernel's gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, stride: int, padding: int, transposed: bool) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.how, ctx.like = (stride, padding, transposed), (x.shape, x.stride())
        return _plainly(x, kernel, stride, padding, transposed)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (kernel,) = ctx.saved_tensors
        return _Adjoint.apply(gradient, kernel, ctx.how, ctx.like), None, None, None, None


class _Adjoint(torch.autograd.Function):
    """The derivative of `_Convolve`, which is linear, so that its own derivative is `_Convolve` again."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, kernel: Tensor, how: tuple[int, int, bool], like: Any) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.how, (stride, padding, transposed) = how, how
        x = gradient.new_empty_strided(*like)  # asked for its shape alone
        return CHANNELS_ALONE(
            gradient, x, kernel, None, [stride] * 2, [padding] * 2, [1, 1], transposed, [0, 0], len(kernel),
            [True, False, False],
        )[0]  # fmt: skip

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (kernel,) = ctx.saved_tensors
        return _Convolve.apply(gradient, kernel, *ctx.how), None, None, None


class _Cast(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kind: torch.dtype, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.kind = tensors[0].dtype
        return _copied(tensors, kind)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, *_copied(gradients, ctx.kind)


def _copied(tensors: tuple[Tensor, ...], kind: torch.dtype) -> tuple[Tensor, ...]:
    copies = [torch.empty_like(tensor, dtype=kind) for tensor in tensors]
    torch._foreach_copy_(copies, list(tensors))
    return tuple(copies)


def in_format(tensors: list[Tensor], kind: torch.dtype) -> list[Tensor]:
    """Tensors of one format in another one by a single operation, and so their gradients; the same if it is theirs."""
    if tensors[0].dtype == kind:
        return tensors
    if torch.compiler.is_compiling():
        return [tensor.to(kind) for tensor in tensors]
    return [*_Cast.apply(kind, *tensors)]


def autocast_format(tensor: Tensor) -> torch.dtype:
    """The format of products where the tensor is: autocast's if it is on, else the tensor's own."""
    device = tensor.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else tensor.dtype
