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
from torch.nn.functional import adaptive_avg_pool2d, affine_grid, conv2d, grid_sample, pad

from workflow_scripts.core.devices import in_batches
from workflow_scripts.core.progress import tracked
from workflow_scripts.data.resolution import shrink
from workflow_scripts.metrics.neighbours import nearest_neighbours

SIDE = 32  # px at which images are compared
COARSE = 8  # px of the pictures in which candidates are sought
CANDIDATES = 8  # of each kind
REFINED, FINEST = 6, 2  # pairs of a candidate and a view that are compared by whole pixels, and by halves
SHIFT = 0.1  # of the side, in both directions
ZOOMS = (0.8, 0.9, 1 / 0.9, 1.25)
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
    m, side, channels = len(queries), queries.shape[1], queries.shape[-1]
    rough = side // 2 if side >= 2 * COARSE else side  # px of the coarse pictures
    small, small_references = shrink(queries, rough), shrink(references, rough)
    further = (part[:, :CANDIDATES] for part in proposed)
    candidates = np.sort(np.concatenate([*_candidates(small, small_references, device), *further], axis=1), axis=1)
    views, shifts = _views(side).to(device), _shifts(max(1, round(SHIFT * rough)), rough).to(device)
    around = _shifts(1, side).to(device)
    farthest = (np.ceil(SHIFT * side) - 1) * 2 / side  # of a shift about which others are tried

    def compare(rows: slice) -> np.ndarray:
        """Of each query the nearest candidate, its distance and its largest tile, float64 (b, 3)."""
        chosen = torch.from_numpy(candidates[rows]).to(device)
        part, each = normalised(queries[rows], device), torch.arange(len(chosen), device=device)[:, None]
        coarse = normalised(small_references[candidates[rows].ravel()], device).unflatten(0, chosen.shape)
        squares, place = _coarse_squares(normalised(small[rows], device), coarse, views, shifts)
        squares[:, :, 1:].masked_fill_((chosen[:, 1:] == chosen[:, :-1])[:, None], torch.inf)  # proposed twice
        squares, place = squares.flatten(1), place.flatten(1)
        best, pair = squares.topk(min(REFINED, squares.shape[1]), largest=False)
        view, index = views[pair // chosen.shape[1]], chosen.gather(1, pair % chosen.shape[1])
        shift, twice = shifts[place.gather(1, pair)], best.isinf()
        others = normalised(references[index.cpu().numpy().ravel()], device).unflatten(0, index.shape)
        if rough < side:
            shift = shift.clamp(-farthest, farthest)
            for count, step in ((FINEST, 1.0), (1, 0.5)):
                squares, at = _best_step(part, others, _shifted(view, shift), step)
                best, kept = squares.masked_fill(twice, torch.inf).topk(min(count, squares.shape[1]), largest=False)
                shift = (shift + step * around[at])[each, kept]
                view, index, others, twice = (values[each, kept] for values in (view, index, others, twice))
        best, nearest, others = best[:, 0], index[:, 0], others[:, 0]
        tiles = _largest_tile(part, others, _shifted(view[:, 0], shift[:, 0]))
        return np.vstack([nearest.cpu().numpy(), torch.stack([best, tiles]).sqrt().cpu().numpy()]).T

    floats = FLOATS if device.type == "cpu" else FLOATS_ON_GPU
    at_once = max(1, floats // (len(views) * len(shifts) * rough**2 * channels))
    index, distance, tiles = np.concatenate([*tracked(in_batches(compare, m, at_once), m, "images", "aligning")]).T
    return Aligned(index.astype(np.int64), distance, tiles)


def normalised(images: np.ndarray, device: torch.device) -> Tensor:
    """Images uint8 (n, H, W, C) as float32 (n, C, H, W) with mean 0 and standard deviation 1."""
    values = torch.from_numpy(np.array(images)).to(device).permute(0, 3, 1, 2).float() / 255
    values = values - values.mean(dim=(1, 2, 3), keepdim=True)
    return values / values.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp(min=FLATTEST)


def _candidates(queries: np.ndarray, references: np.ndarray, device: torch.device) -> Iterator[np.ndarray]:
    """Those nearest to a query, and to its mirror image, by coarse pictures and by spectra."""
    count, m = min(CANDIDATES, len(references)), len(queries)
    both = np.concatenate([queries, queries[:, :, ::-1]])
    for sketch in (_coarse, _spectrum):
        near = nearest_neighbours(
            _sketched(sketch, both, device), _sketched(sketch, references, device), count, device=device
        )
        yield from (near.indices[:m], near.indices[m:])


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


def _views(side: int) -> Tensor:
    """Affine maps (v, 2, 3) of coordinates in -1..1: the image as it is, zoomed or turned, and its mirror images.

    Zooms and turns that move the edge of an image of `side` px by less than a pixel are left out: of tiny images they
    make others look alike.
    """
    zooms = (zoom for zoom in ZOOMS if abs(zoom - 1) * side / 2 >= 1)
    turns = (turn for turn in TURNS if abs(np.deg2rad(turn)) * side / 2 >= 1)
    changes = [(1.0, 0.0), *((zoom, 0.0) for zoom in zooms), *((1.0, turn) for turn in turns)]
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


def _warped(images: Tensor, maps: Tensor, steps: int | None = None, spacing: float = 1.0) -> tuple[Tensor, Tensor]:
    """Images (b, C, S, S) seen through maps (b, v, 2, 3), 0 outside: (b, v, C, n, n); and where they are seen.

    n: `steps` points in each direction, `spacing` px apart, about the middle; all pixels where they are not given.
    Maps of one image (1, v, 2, 3) are those of all, and so is where they are seen.
    """
    (b, v), side = maps.shape[:2], images.shape[-1]
    n = steps or side
    maps = torch.cat([maps[..., :2] * (n * spacing / side), maps[..., 2:]], dim=-1)
    grid = affine_grid(maps.flatten(0, 1), [b * v, 1, n, n], align_corners=False).view(b, v * n, n, 2)
    warped = grid_sample(images, grid.expand(len(images), -1, -1, -1), padding_mode="border", align_corners=False)
    seen = (grid.abs() <= 1 + 1e-5).all(dim=-1).view(b, v, 1, n, n).float()
    return warped.unflatten(2, (v, n)).transpose(1, 2) * seen, seen


def _coarse_squares(queries: Tensor, others: Tensor, views: Tensor, shifts: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distances (b, v, c) of queries (b, C, s, s) to others (b, c, C, s, s) in each view.

    At the best of all shifts by whole pixels, whose numbers (b, v, c) are the second result.
    """
    side = queries.shape[-1]
    reach = round(float(shifts.max()) * side / 2)
    moved, seen = (pad(values, (reach,) * 4) for values in _warped(queries, views[None]))

    def windows(images: Tensor) -> Tensor:  # (n, v, k, P, P) -> (n, v * shifts, k, s * s)
        unfolded = images.unfold(3, side, 1).unfold(4, side, 1)
        return unfolded.permute(0, 1, 3, 4, 2, 5, 6).reshape(len(images), -1, images.shape[2], side * side)

    totals = (total.flatten(1) for total in _totals(moved, side))
    squares = _squares(windows(moved), windows(seen)[:, :, 0], others.flatten(3), *totals)
    return squares.unflatten(1, (len(views), len(shifts))).min(dim=2)


def _best_step(queries: Tensor, others: Tensor, maps: Tensor, step: float) -> tuple[Tensor, Tensor]:
    """Squared distances (b, r) of queries (b, C, S, S), seen through maps (b, r, 2, 3), to others (b, r, C, S, S).

    At the best of the shifts by `step` px, of 1 or a half, in each direction and of none: its number is the second
    result. All of them are windows of one picture with a margin.
    """
    side, every = queries.shape[-1], round(1 / step)
    length = every * (side - 1) + 1

    def windows(images: Tensor) -> Tensor:  # (b, r, k, n, n) -> (b * r, shifts, k, S * S)
        corners = product(range(3), range(3))
        parts = [images[..., y : y + length : every, x : x + length : every] for y, x in corners]
        return torch.stack(parts, dim=2).flatten(4).flatten(0, 1)

    moved, seen = _warped(queries, maps, length + 2, step)
    totals = (total.flatten(0, 1).flatten(1) for total in _totals(moved, side, every))
    squares = _squares(windows(moved), windows(seen)[:, :, 0], others.flatten(3).flatten(0, 1)[:, None], *totals)
    return squares.view(*maps.shape[:2], -1).min(dim=2)


def _totals(images: Tensor, side: int, every: int = 1) -> tuple[Tensor, Tensor]:
    """Sums (b, v, q, q) of the values and of their squares in all windows of images (b, v, C, n, n).

    A window has `side` points in each direction, `every` steps apart.
    """
    ones = images.new_ones(1, 1, side, 1)
    sums = torch.cat([images.sum(dim=2), images.square().sum(dim=2)]).flatten(0, 1)[:, None]
    boxes = conv2d(conv2d(sums, ones, dilation=every), ones.transpose(2, 3), dilation=every)[:, 0]
    values, squares = boxes.unflatten(0, (2, *images.shape[:2]))
    return values, squares


def _squares(moved: Tensor, seen: Tensor, others: Tensor, total: Tensor, squared: Tensor) -> Tensor:
    """Mean squared differences (b, v, c) of moved images (b, v, C, p) to others (b, c, C, p) where `seen` (., v, p).

    Moved images are 0 elsewhere; total, squared (b, v): sums of their values, and of the squares. Both are compared
    with mean 0 and standard deviation 1 there, as _standard has them.
    """
    count = moved.shape[2] * seen.sum(dim=2)[..., None]
    products = moved.flatten(2) @ others.flatten(2).transpose(1, 2)
    sums = total[..., None], seen @ others.sum(dim=2).transpose(1, 2)
    powers = squared[..., None], seen @ others.square().sum(dim=2).transpose(1, 2)
    mine, theirs = (part / count for part in sums)
    variances = [(part / count - mean**2).clamp(min=0) for part, mean in zip(powers, (mine, theirs), strict=True)]
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
