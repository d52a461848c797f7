"""Networks for small images: residual networks and a vision transformer.

Each gives its logits by a linear `head` on the mean of its last feature map, which `features` gives.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, relu, scaled_dot_product_attention

HEADS, PATCHES = 4, 8  # of the vision transformer: attention heads, and patches along a side (at most)


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation whose batches its network counts, for all of them in one operation."""

    def forward(self, x: Tensor) -> Tensor:
        statistics = self.running_mean, self.running_var
        return batch_norm(x, *statistics, self.weight, self.bias, self.training, self.momentum or 0.0, self.eps)


class Block(nn.Module):
    """A basic residual block (He et al. 2016): two 3 x 3 convolutions with batch normalisation."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = (
            nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.Conv2d(out, out, 3, 1, 1, bias=False),
        )  # fmt: skip
        self.first_norm, self.second_norm = BatchNorm(out), BatchNorm(out)
        self.shortcut, self.stride = nn.Sequential(), stride
        if stride > 1 or channels != out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, bias=False), BatchNorm(out))

    def forward(self, x: Tensor) -> Tensor:
        y = relu(self.first_norm(self.first(x)))
        # Not by a stride of the convolution: of fewer than 8 channels (16 with AVX-512) oneDNN's gradient for its
        # weights is wrong, and writes beyond its memory (uxlfoundation/oneDNN issue 6035).
        kept = x[:, :, :: self.stride, :: self.stride]
        return relu(self.second_norm(self.second(y)) + self.shortcut(kept))


class SmallResNet(nn.Module):
    """The residual network for small images (He et al. 2016, section 4.2): depth 6 n + 2, three stages of n blocks.

    features: (B, 4 width, H / 4, W / 4).
    """

    head: nn.Linear

    def __init__(self, depth: int, width: int, channels: int, outputs: int) -> None:
        super().__init__()
        blocks = max(1, round((depth - 2) / 6))
        self.stem = nn.Sequential(nn.Conv2d(channels, width, 3, 1, 1, bias=False), BatchNorm(width), nn.ReLU())
        plan = [(width * 2 ** max(stage - (i == 0), 0), width * 2**stage, 2 if stage and i == 0 else 1)
                for stage in range(3) for i in range(blocks)]  # fmt: skip
        self.stages = nn.Sequential(*(Block(*sizes) for sizes in plan))
        self.head = nn.Linear(4 * width, outputs)
        self.norms = tuple(module for module in self.modules() if isinstance(module, BatchNorm))

    def features(self, x: Tensor) -> Tensor:
        if self.training:
            torch._foreach_add_([norm.get_buffer("num_batches_tracked") for norm in self.norms], 1)
        return self.stages(self.stem(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean((2, 3)))


class Attention(nn.Module):
    """Self-attention and a two-layer perceptron, each with layer normalisation before it and a residual around it."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(size), nn.LayerNorm(size)])
        self.to_qkv, self.out = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.perceptron = nn.Sequential(nn.Linear(size, 4 * size), nn.GELU(), nn.Linear(4 * size, size))

    def split(self, x: Tensor) -> Tensor:
        """Queries, keys and values (3, B, heads, T, size / heads)."""
        return self.to_qkv(self.norms[0](x)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        x = x + self.out(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.perceptron(self.norms[1](x))

    def weights(self, x: Tensor) -> Tensor:
        """Attention weights (B, heads, T, T), for roll-out."""
        q, k, _ = self.split(x)
        return (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)


class SmallViT(nn.Module):
    """A vision transformer (Dosovitskiy et al. 2021) of four layers without class token, for 16 to 64 px."""

    def __init__(self, width: int, resolution: int, channels: int, outputs: int) -> None:
        super().__init__()
        size, patch = 8 * width, max(1, resolution // PATCHES)
        self.patches = nn.Conv2d(channels, size, patch, patch)
        self.side = resolution // patch
        self.places = nn.Parameter(torch.randn(1, self.side**2, size) * 0.02)
        self.layers = nn.ModuleList(Attention(size) for _ in range(4))
        self.norm = nn.LayerNorm(size)
        self.head = nn.Linear(size, outputs)

    def _tokens(self, x: Tensor) -> Tensor:
        return self.patches(x).flatten(2).transpose(1, 2) + self.places

    def features(self, x: Tensor) -> Tensor:
        tokens = self._tokens(x)
        for layer in self.layers:
            tokens = layer(tokens)
        return self.norm(tokens).transpose(1, 2).unflatten(2, (self.side, self.side))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean((2, 3)))

    def attention(self, x: Tensor) -> Tensor:
        """Attention weights of all layers (layers, B, heads, T, T)."""
        tokens, weights = self._tokens(x), []
        for layer in self.layers:
            weights.append(layer.weights(tokens))  # type: ignore[operator]
            tokens = layer(tokens)
        return torch.stack(weights)
