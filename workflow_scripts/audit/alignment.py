"""Distances that moved copies cannot hide from: over mirror images, shifts, zooms, turns, brightness and contrast.

Every move of every pair would be too much to compute: for each query a few candidates are compared, in coarse pictures
first. They come from coarse pictures and spectra of the images and of their mirror images, and from the neighbours in
the audit's spaces. Held-out images are compared in the same way, so a calibrated threshold holds whichever candidates
were missed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, affine_grid, grid_sample, pad

from workflow_scripts.core.devices import in_batches
from workflow_scripts.core.progress import tracked
from workflow_scripts.data.resolution import shrink
from workflow_scripts.metrics.neighbours import nearest_neighbours

SIDE = 32  # px at which images are compared
COARSE = 8  # px of the pictures in which candidates are sought
CANDIDATES = 8  # of each kind
REFINED = 6  # pairs of a candidate and a view, by their coarse pictures
SHIFT = 0.1  # of the side, in both directions
ZOOMS = (0.8, 0.9, 1 / 0.9, 1.25)
STEPS = (1.0, 0.5)  # px, in turn, of the shifts that are tried about the best one of the coarse pictures
TURNS = (-10.0, -5.0, 5.0, 10.0)  # degrees
FLATTEST = 0.02  # standard deviation, of 0..1, below which contrast is not stretched further
FLAT = 0.25  # the same of a part of an image, of the image's own
TILES = 4  # in a row
FLOATS, FLOATS_ON_GPU = 2**21, 2**26  # of moved queries held at a time


@dataclass(frozen=True)
class Aligned:
    """Of each query (m,): the nearest candidate `index`, a row of the references, at its best move.

    distance: root-mean-square difference over what both images show, each with mean 0 and standard deviation 1 there,
    so 0..2; tiles: the largest distance of its 4 x 4 tiles (Carlini et al. 2023), which is large where only a flat
    background is alike.
    """

    index: np.ndarray
    distance: np.ndarray
    tiles: np.ndarray


def align(queries: np.ndarray, references: np.ndarray, proposed: Sequence[np.ndarray], device: torch.device) -> Aligned:
    """Compare queries, uint8 (m, H, W, C), with their candidates among references (n, H, W, C).

    proposed: further candidates, rows of the references, (m, c) each, nearest first.
    """
    queries, references = shrink(queries, SIDE), shrink(references, SIDE)
    further = (part[:, :CANDIDATES] for part in proposed)
    candidates = np.sort(np.concatenate([*_candidates(queries, references, device), *further], axis=1), axis=1)
    m, side, channels = len(queries), queries.shape[1], queries.shape[-1]
    rough = side // 2 if side >= 2 * COARSE else side  # px of the coarse pictures
    views, shifts = _views().to(device), _shifts(max(1, round(SHIFT * rough)), rough).to(device)
    finer = [_shifts(1, side).to(device) * step for step in STEPS]

    def compare(rows: slice) -> np.ndarray:
        """Of each query the nearest candidate, its distance and its largest tile, float64 (b, 3)."""
        chosen = torch.from_numpy(candidates[rows]).to(device)
        part = normalised(queries[rows], device)
        others = normalised(references[candidates[rows].ravel()], device).unflatten(0, chosen.shape)
        squares, place = _coarse_squares(part, others, views, shifts, rough)
        squares[:, :, 1:].masked_fill_((chosen[:, 1:] == chosen[:, :-1])[:, None], torch.inf)  # proposed twice
        squares, first = squares.flatten(1).topk(min(REFINED, squares[0].numel()), largest=False)
        view, candidate = first // chosen.shape[1], first % chosen.shape[1]
        shift, view = shifts[place.flatten(1).gather(1, first)], views[view]
        each = torch.arange(len(part), device=device)
        others = others[each[:, None], candidate]
        for steps in finer:
            tried = shift[:, :, None] + steps
            warped = _warped(part, _shifted(view[:, :, None], tried).flatten(1, 2))
            moved, seen = (values.flatten(3).unflatten(1, tried.shape[1:3]).flatten(0, 1) for values in warped)
            fine = _squares(moved, seen[:, :, 0], others.flatten(3).flatten(0, 1)[:, None])
            fine, at = fine.view(tried.shape[:3]).min(dim=2)
            shift = tried.gather(2, at[..., None, None].expand(-1, -1, -1, 2))[:, :, 0]
        best, at = torch.where(squares.isfinite(), fine, torch.inf).min(dim=1)
        nearest = chosen[each, candidate[each, at]]
        tiles = _largest_tile(part, others[each, at], _shifted(view[each, at], shift[each, at]))
        return np.vstack([nearest.cpu().numpy(), torch.stack([best, tiles]).sqrt().cpu().numpy()]).T

    floats = FLOATS if device.type == "cpu" else FLOATS_ON_GPU
    at_once = max(1, floats // (len(views) * len(shifts) * rough**2 * channels))
    index, distance, tiles = np.concatenate([*tracked(in_batches(compare, m, at_once), m, "images", "aligning")]).T
    return Aligned(index.astype(np.int64), distance, tiles)


def normalised(images: np.ndarray, device: torch.device) -> Tensor:
    """Images uint8 (n, H, W, C) as float32 (n, C, H, W) with mean 0 and standard deviation 1."""
    values = torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2).float() / 255
    values = values - values.mean(dim=(1, 2, 3), keepdim=True)
    return values / values.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp(min=FLATTEST)


def _candidates(queries: np.ndarray, references: np.ndarray, device: torch.device) -> Iterator[np.ndarray]:
    """Those nearest to a query, and to its mirror image, by coarse pictures and by spectra."""
    count = min(CANDIDATES, len(references))
    for sketch in (_coarse, _spectrum):
        sketched = _sketched(sketch, references, device)
        for images in (queries, queries[:, :, ::-1]):
            yield nearest_neighbours(_sketched(sketch, images, device), sketched, count, device=device).indices


def _sketched(sketch: Callable[[Tensor], Tensor], images: np.ndarray, device: torch.device) -> np.ndarray:
    parts = (normalised(images[start : start + 4096], device) for start in range(0, len(images), 4096))
    return np.concatenate([sketch(part).cpu().numpy() for part in parts])


def _coarse(images: Tensor) -> Tensor:
    """Images (n, C, S, S) as rows of coarse pictures, (n, C * 64)."""
    return adaptive_avg_pool2d(images, COARSE).flatten(1)


def _spectrum(images: Tensor) -> Tensor:
    """Images (n, C, S, S) as rows of the amplitudes of their lowest frequencies, which a shift hardly changes."""
    low = COARSE // 2 + 1
    amplitudes = torch.fft.rfft2(images, norm="ortho").abs()[..., :low]
    return torch.cat([amplitudes[..., :low, :], amplitudes[..., 1 - low :, :]], dim=-2).flatten(1)


def _views() -> Tensor:
    """Affine maps (v, 2, 3) of coordinates in -1..1: the image as it is, zoomed or turned, and its mirror images."""
    changes = [(1.0, 0.0), *((zoom, 0.0) for zoom in ZOOMS), *((1.0, turn) for turn in TURNS)]
    maps = torch.zeros(2, len(changes), 2, 3)
    for i, (zoom, degrees) in enumerate(changes):
        angle = np.deg2rad(degrees)
        maps[0, i, :, :2] = zoom * torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    maps[1] = maps[0] * torch.tensor([[-1.0], [1.0]])
    return maps.flatten(0, 1)


def _shifts(reach: int, side: int) -> Tensor:
    """Shifts (s, 2), along x and y, by up to `reach` px of `side`, in coordinates of -1..1."""
    steps = range(-reach, reach + 1)
    return torch.tensor([(x, y) for y, x in product(steps, steps)], dtype=torch.float32) * 2 / side


def _shifted(views: Tensor, shifts: Tensor) -> Tensor:
    """The maps (..., 2, 3) that look at a view through a shift."""
    views, shifts = torch.broadcast_tensors(views, shifts[..., None])
    linear = views[..., :2]
    return torch.cat([linear, linear @ shifts[..., :1]], dim=-1)


def _warped(images: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Images (b, C, S, S) seen through maps (b, v, 2, 3), 0 outside: (b, v, C, S, S); and where they are seen."""
    (b, v), side = maps.shape[:2], images.shape[-1]
    grid = affine_grid(maps.flatten(0, 1), [b * v, 1, side, side], align_corners=False)
    warped = grid_sample(images, grid.view(b, v * side, side, 2), padding_mode="border", align_corners=False)
    seen = (grid.abs() <= 1).all(dim=-1).view(b, v, 1, side, side).float()
    return warped.unflatten(2, (v, side)).transpose(1, 2) * seen, seen


def _coarse_squares(queries: Tensor, others: Tensor, views: Tensor, shifts: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Squared distances (b, v, c), at `side` px, of queries (b, C, S, S) to others (b, c, C, S, S) in each view.

    At the best of all shifts by whole pixels, whose numbers (b, v, c) are the second result.
    """
    small, rough = adaptive_avg_pool2d(queries, side), adaptive_avg_pool2d(others.flatten(0, 1), side)
    reach = round(float(shifts.max()) * side / 2)
    moved, seen = _warped(small, views.expand(len(small), -1, -1, -1))

    def windows(images: Tensor) -> Tensor:  # (n, v, k, side, side) -> (n, v * shifts, k, side * side)
        padded = pad(images.flatten(0, 1), (reach,) * 4).unfold(2, side, 1).unfold(3, side, 1)
        return padded.permute(0, 2, 3, 1, 4, 5).reshape(len(images), -1, images.shape[2], side * side)

    rough = rough.view(len(small), -1, small.shape[1], side * side)
    squares = _squares(windows(moved), windows(seen[:1])[:, :, 0], rough)
    return squares.unflatten(1, (len(views), len(shifts))).min(dim=2)


def _squares(moved: Tensor, seen: Tensor, others: Tensor) -> Tensor:
    """Mean squared differences (b, v, c) of moved images (b, v, C, p) to others (b, c, C, p) where `seen` (., v, p).

    Moved images are 0 elsewhere. Both are compared with mean 0 and standard deviation 1 there, as _standard has them.
    """
    count = moved.shape[2] * seen.sum(dim=2)[..., None]
    products = moved.flatten(2) @ others.flatten(2).transpose(1, 2)
    parts = moved.sum(dim=(2, 3))[..., None], seen @ others.sum(dim=2).transpose(1, 2)
    squared = moved.square().sum(dim=(2, 3))[..., None], seen @ others.square().sum(dim=2).transpose(1, 2)
    mine, theirs = (part / count for part in parts)
    variances = [(part / count - mean**2).clamp(min=0) for part, mean in zip(squared, (mine, theirs), strict=True)]
    scales = [variance.sqrt().clamp(min=FLAT) for variance in variances]
    whole = sum(variance / scale**2 for variance, scale in zip(variances, scales, strict=True))
    return (whole - 2 * (products / count - mine * theirs) / (scales[0] * scales[1])).clamp(min=0)


def _largest_tile(queries: Tensor, others: Tensor, maps: Tensor) -> Tensor:
    """Largest mean squared difference (b,) of the tiles of queries (b, C, S, S), moved (b, 2, 3), and others."""
    moved, seen = (values[:, 0] for values in _warped(queries, maps[:, None]))
    apart = (_standard(moved, seen) - _standard(others, seen)).square().mean(dim=1, keepdim=True)
    total, area = (adaptive_avg_pool2d(part, TILES) for part in (apart, seen))
    return (total / area.clamp(min=1e-9)).amax(dim=(1, 2, 3))


def _standard(images: Tensor, seen: Tensor) -> Tensor:
    """Images (b, C, S, S) with mean 0 and standard deviation 1 where they are seen, (b, 1, S, S), and 0 elsewhere."""
    inside = (1, 2, 3)
    count = seen.sum(dim=inside, keepdim=True) * images.shape[1]
    values = (images - (images * seen).sum(dim=inside, keepdim=True) / count) * seen
    return values / (values.square().sum(dim=inside, keepdim=True) / count).sqrt().clamp(min=FLAT)
