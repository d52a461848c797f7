"""Distances that moved copies cannot hide from: over mirror images, shifts, brightness and contrast.

Every shift of every pair would be too much to compute: for each query a few candidates are compared. They come from
coarse pictures and spectra of the images and of their mirror images, and from the neighbours in the audit's spaces.
Held-out images are compared in the same way, so a calibrated threshold holds whichever candidates were missed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, pad

from workflow_scripts.core.progress import progress
from workflow_scripts.data.resolution import shrink
from workflow_scripts.metrics.neighbours import nearest_neighbours

SIDE = 32  # px at which images are compared
COARSE = 8  # px of the pictures in which candidates are sought
CANDIDATES = 5  # of each kind
SHIFT = 0.1  # of the side, in both directions
FLATTEST = 0.02  # standard deviation, of 0..1, below which contrast is not stretched further
TILES = 4  # in a row
FLOATS = 2**21  # of shifted queries held at a time


@dataclass(frozen=True)
class Aligned:
    """Of each query (m,): the nearest candidate `index`, a row of the references, at the best mirror image and shift.

    distance: root-mean-square difference of normalised values over what both images show; second: that of the next
    candidate (NaN without one); tiles: the largest distance of the 4 x 4 tiles of the nearest one (Carlini et al.
    2023), which is large where only a flat background is alike.
    """

    index: np.ndarray
    distance: np.ndarray
    second: np.ndarray
    tiles: np.ndarray


def normalised(images: np.ndarray) -> np.ndarray:
    """Images uint8 (n, H, W, C) as float32 (n, C, S, S) with mean 0 and standard deviation 1, S at most `SIDE`."""
    small = shrink(images, SIDE).transpose(0, 3, 1, 2).astype(np.float32) / 255
    small -= small.mean(axis=(1, 2, 3), keepdims=True)
    return small / np.maximum(small.std(axis=(1, 2, 3), keepdims=True), FLATTEST)


def align(queries: np.ndarray, references: np.ndarray, proposed: Sequence[np.ndarray], device: torch.device) -> Aligned:
    """Compare queries (m, C, S, S) with their candidates among references (n, C, S, S), both normalised.

    proposed: further candidates, rows of the references, (m, c) each.
    """
    count = min(CANDIDATES, len(references))
    own = [
        nearest_neighbours(sketch(images), sketched, count, device=device).indices
        for sketch in (_coarse, _spectrum)
        for sketched in [sketch(references)]
        for images in (queries, queries[..., ::-1])
    ]
    candidates = np.concatenate([*own, *(part[:, :CANDIDATES] for part in proposed)], axis=1)
    m, side = len(queries), queries.shape[-1]
    index, distance, second, tiles = np.empty(m, np.int64), np.empty(m), np.full(m, np.nan), np.empty(m)
    shift = max(1, round(SHIFT * side))
    batch = max(1, FLOATS // (2 * (2 * shift + 1) ** 2 * queries[0].size))
    with progress(m, "images", label="aligning") as bar:
        for start in range(0, m, batch):
            rows = slice(start, start + batch)
            part = torch.from_numpy(np.ascontiguousarray(queries[rows])).to(device)
            others = torch.from_numpy(references[candidates[rows]]).to(device)
            squares, shifted, seen = _squares(part, others, shift)
            best, place = squares.min(dim=1)  # over mirror images and shifts, of each candidate
            first = best.argmin(dim=1)
            at = torch.arange(len(part), device=device)
            nearest = candidates[rows][at.cpu().numpy(), first.cpu().numpy()]
            index[rows], distance[rows] = nearest, best[at, first].clamp(min=0).sqrt().cpu().numpy()
            other = torch.from_numpy(candidates[rows] != nearest[:, None]).to(device)
            if bool(other.any()):
                rest = torch.where(other, best, torch.inf).amin(dim=1).clamp(min=0).sqrt().cpu().numpy()
                second[rows] = np.where(np.isfinite(rest), rest, np.nan)
            chosen = place[at, first]
            tiles[rows] = _largest_tile(shifted[at, chosen], others[at, first], seen[chosen % len(seen)])
            bar.advance(len(part))
    return Aligned(index, distance, second, tiles)


def _coarse(images: np.ndarray) -> np.ndarray:
    """Images (n, C, S, S) as rows of coarse pictures, (n, C * 64)."""
    return np.concatenate([adaptive_avg_pool2d(part, COARSE).flatten(1).numpy() for part in _parts(images)])


def _spectrum(images: np.ndarray) -> np.ndarray:
    """Images (n, C, S, S) as rows of the amplitudes of their lowest frequencies, which a shift hardly changes."""
    low = COARSE // 2 + 1
    rows = []
    for part in _parts(images):
        amplitudes = torch.fft.rfft2(part, norm="ortho").abs()[..., :low]
        rows.append(torch.cat([amplitudes[..., :low, :], amplitudes[..., 1 - low :, :]], dim=-2).flatten(1).numpy())
    return np.concatenate(rows)


def _parts(images: np.ndarray) -> Iterator[Tensor]:
    starts = range(0, len(images), 4096)
    return (torch.from_numpy(np.ascontiguousarray(images[start : start + 4096])) for start in starts)


def _squares(queries: Tensor, others: Tensor, shift: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean squared differences (b, 2 * shifts, c) of queries (b, C, S, S), moved, to others (b, c, C, S, S).

    Also the moved queries (b, 2 * shifts, C * S * S), zero where they show nothing, and where they do, (shifts, S * S).
    """
    b, channels, side, _ = queries.shape

    def moved(images: Tensor) -> Tensor:  # (images, shifts, channels * side * side)
        # A window of side `side` at each of (2 shift + 1)^2 places of the padded image.
        windows = pad(images, (shift,) * 4).unfold(2, side, 1).unfold(3, side, 1)
        return windows.permute(0, 2, 3, 1, 4, 5).reshape(len(images), -1, images[0].numel())

    both = torch.stack([queries, queries.flip(-1)], dim=1).flatten(0, 1)
    shifted = moved(both).view(b, -1, queries[0].numel())
    seen = moved(torch.ones(1, 1, side, side, device=queries.device))[0]
    cross = torch.bmm(shifted, others.flatten(2).transpose(1, 2))
    energy = others.square().sum(dim=2).flatten(2) @ seen.T  # (b, c, shifts)
    # What a window shows of the query is what the window of the opposite shift shows of another image.
    own = (both.square().sum(dim=1).flatten(1) @ seen.flip(0).T).view(b, -1, 1)
    energies = torch.cat([energy, energy], dim=2).transpose(1, 2)
    values = channels * torch.cat([seen, seen]).sum(dim=1)[None, :, None]
    return (own + energies - 2 * cross) / values, shifted, seen


def _largest_tile(shifted: Tensor, others: Tensor, seen: Tensor) -> np.ndarray:
    """Largest root-mean-square difference of the tiles of queries (b, C * S * S) and others (b, C, S, S)."""
    channels, side = others.shape[1], others.shape[-1]
    mask = seen.view(-1, 1, side, side)
    squares = (shifted.view_as(others) - others).square().sum(dim=1, keepdim=True) * mask
    total, area = (adaptive_avg_pool2d(part, TILES) for part in (squares, mask))
    return (total / (channels * area.clamp(min=1e-9))).amax(dim=(1, 2, 3)).sqrt().cpu().numpy()
