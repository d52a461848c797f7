"""Exact nearest neighbours of images or features, fast and in bounded memory.

Candidates come from matrix products (products.py). Those cancel where it matters most, for copies, so they only
propose: the order and the distances come from the differences themselves, and a result stands only once a bound on the
product's error shows that no other reference can belong to it. A query for which the bound does not suffice is searched
again, with more candidates in a finer format.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.core.errors import InputError
from workflow_scripts.metrics.products import CACHED_BYTES, ROW_BATCH_BYTES, Block, Form, batches, each_block, formats

LARGEST_NORM = 1e36  # squared; beyond it float32 overflows


@dataclass(frozen=True)
class Neighbours:
    """The k nearest references of each query, nearest first, ties by lowest index.

    distances: float64 (m, k), root-mean-square difference per value; of uint8 rows in units of 255, so 0..1.
    indices: int64 (m, k), rows of the references.
    """

    distances: np.ndarray
    indices: np.ndarray


def nearest_neighbours(
    queries: np.ndarray,
    references: np.ndarray,
    k: int,
    *,
    device: torch.device | str = "cpu",
    exclude_self: bool = False,
) -> Neighbours:
    """Find the k nearest references of each query, exactly.

    queries (m, ...) and references (n, ...): both uint8 or both floating point, rows of equal size; memory-mapped
    arrays are read in parts. With `exclude_self`, queries and references are the same rows and a row is not its own
    neighbour (another row equal to it is). Raises InputError for fewer than k references, unlike rows, values that
    are not finite.
    """
    queries, references = _matrix(queries, "queries"), _matrix(references, "references")
    count, available = len(queries), len(references) - exclude_self
    _check(queries, references, k, available, exclude_self)
    distances = np.empty((count, k))
    indices = np.empty((count, k), dtype=np.int64)
    if count == 0:
        return Neighbours(distances, indices)

    kinds = formats(queries, k, torch.device(device))
    width = min(available, k + (32 if kinds[0] == torch.bfloat16 else max(8, k // 4)))
    pending = np.arange(count)
    while len(pending):
        form = Form.of(kinds[0], references)
        unsettled = []
        for rows in batches(len(pending), ROW_BATCH_BYTES // (32 * width)):
            chosen = pending[rows]
            candidates = _search(queries, references, chosen, k, width, form, torch.device(device), exclude_self)
            # Candidates are in order of index: a stable sort breaks ties by it.
            order = np.argsort(candidates.squared, axis=1, kind="stable")[:, :k]
            distances[chosen] = np.take_along_axis(candidates.squared, order, axis=1)
            indices[chosen] = np.take_along_axis(candidates.indices, order, axis=1)
            unsettled.append(chosen[distances[chosen, -1] >= candidates.excluded_from])
        pending = np.concatenate(unsettled)
        width = min(available, 4 * width)
        kinds = kinds[1:] or kinds

    unit = 255.0 if queries.dtype == np.uint8 else 1.0
    return Neighbours(np.sqrt(distances / queries.shape[1]) / unit, indices)


def squared_distances(queries: np.ndarray, references: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances of the pairs (queries[rows[i]], references[columns[i]]) by their differences.

    queries (m, d), references (n, d), rows and columns int64 (p,); float64 (p,). Integers give an exact result. Equal
    pairs give equal distances wherever they stand: NumPy sums each row in the same order.
    """
    result = np.empty(len(rows))
    for part in batches(len(rows), CACHED_BYTES // (8 * queries.shape[1])):
        difference = np.subtract(queries[rows[part]], references[columns[part]], dtype=np.float64)
        np.einsum("ij,ij->i", difference, difference, out=result[part])
    return result


@dataclass(frozen=True)
class _Candidates:
    indices: np.ndarray  # (r, width), rising
    squared: np.ndarray  # (r, width), exact squared distances
    excluded_from: np.ndarray  # (r,): every other reference is at least this squared distance away


def _search(
    queries: np.ndarray,
    references: np.ndarray,
    rows: np.ndarray,
    k: int,
    width: int,
    form: Form,
    device: torch.device,
    exclude_self: bool,
) -> _Candidates:
    """The `width` best candidates of queries[rows] by their products, with exact distances."""
    whole = form.dtype == torch.int8
    scores = torch.full((len(rows), width), form.largest, device=device, dtype=form.scores)
    indices = torch.full((len(rows), width), -1, device=device)
    query_norms = torch.zeros(len(rows), device=device, dtype=torch.int64 if whole else torch.float64)
    reference_norms = torch.zeros(len(references), device=device, dtype=query_norms.dtype)
    identity = torch.from_numpy(rows).to(device)

    def keep(block: Block) -> None:
        query_norms[block.rows], reference_norms[block.columns] = block.query_norms, block.reference_norms
        if exclude_self:
            own = identity[block.rows] - block.columns.start
            inside = torch.nonzero((own >= 0) & (own < block.half.shape[1])).squeeze(1)
            block.half[inside, own[inside]] = form.largest
        best, places = _smallest(block.half, min(width, block.half.shape[1]))
        merged = torch.cat([scores[block.rows], best], dim=1)
        origins = torch.cat([indices[block.rows], places + block.columns.start], dim=1)
        scores[block.rows], order = merged.topk(width, dim=1, largest=False, sorted=False)
        indices[block.rows] = origins.gather(1, order)

    each_block(keep, queries, references, form, device, None if len(rows) == len(queries) else rows)
    if not whole and not bool((query_norms.amax() < LARGEST_NORM) & (reference_norms.amax() < LARGEST_NORM)):
        raise InputError(
            "nearest neighbours: some values are not finite, or beyond 1e18; leave out or scale those rows"
        )
    indices, places = indices.sort(dim=1)
    approximate = query_norms[:, None] + 2 * scores.gather(1, places).to(query_norms.dtype)
    error = form.error(query_norms.double().sqrt(), float(reference_norms.amax()) ** 0.5, queries.shape[1])
    everything = width == len(references) - exclude_self
    bound = np.full(len(rows), np.inf) if everything else (approximate.amax(1) - error).cpu().numpy()
    columns = indices.cpu().numpy()
    if whole:
        return _Candidates(columns, (approximate + (reference_norms[indices] & 1)).double().cpu().numpy(), bound)
    # The differences of the first k, and then of those alone that the error leaves in question among them.
    doubt = error[:, None].cpu().numpy()
    rough = approximate.cpu().numpy()
    exact = np.full(columns.shape, np.inf)
    first = approximate.topk(k, dim=1, largest=False, sorted=False).indices.cpu().numpy()
    near, place = np.repeat(np.arange(len(rows)), k), first.ravel()
    exact[near, place] = squared_distances(queries, references, rows[near], columns[near, place])
    last = np.take_along_axis(exact, first, axis=1).max(axis=1, keepdims=True)
    near, place = ((rough - doubt <= last) & np.isinf(exact)).nonzero()
    exact[near, place] = squared_distances(queries, references, rows[near], columns[near, place])
    # A product that the bound does not hold for (reduced precision switched on, overflow) proves nothing.
    off = np.abs(rough - exact) > doubt
    sound = ~(off & np.isfinite(exact)).any(axis=1)
    if form.dtype == torch.float64 and not sound.all():
        raise ArithmeticError("nearest neighbours: products in double precision are off by more than their bound")
    return _Candidates(columns, exact, np.where(sound, bound, -np.inf))


def _smallest(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` smallest values of each row and their columns, in no order.

    The smallest `count` lie within the `count` groups of columns with the smallest minima, so most of the row is read
    only once, for the minima: twice as fast as topk on the whole row.
    """
    rows, columns = values.shape
    stride = 8
    if columns % stride or columns < stride * count:
        best = values.topk(count, dim=1, largest=False, sorted=False)
        return best.values, best.indices
    groups = columns // stride
    grouped = values.view(rows, stride, groups)
    chosen = grouped.amin(dim=1).topk(count, dim=1, largest=False, sorted=False).indices
    members = grouped.gather(2, chosen[:, None, :].expand(-1, stride, -1)).flatten(1)
    best = members.topk(count, dim=1, largest=False, sorted=False)
    return best.values, best.indices // count * groups + chosen.gather(1, best.indices % count)


def _matrix(array: np.ndarray, name: str) -> np.ndarray:
    if array.ndim < 2 or (array.dtype != np.uint8 and array.dtype.kind != "f"):
        raise InputError(
            f"nearest neighbours: {name} must be rows of uint8 or floating-point values, not {array.dtype} of shape "
            f"{array.shape}"
        )
    return array.reshape(len(array), math.prod(array.shape[1:]))


def _check(queries: np.ndarray, references: np.ndarray, k: int, available: int, exclude_self: bool) -> None:
    if queries.shape[1] != references.shape[1] or (queries.dtype == np.uint8) != (references.dtype == np.uint8):
        raise InputError(
            f"nearest neighbours: queries have {queries.shape[1]} values of {queries.dtype}, references "
            f"{references.shape[1]} of {references.dtype}; bring both to the same size and type"
        )
    if exclude_self and len(queries) != len(references):
        raise InputError("nearest neighbours: a row can leave itself out only where the queries are the references")
    if not 1 <= k <= available:
        raise InputError(f"nearest neighbours: {k} wanted of {max(0, available)} available; ask for fewer")
