"""Exact nearest neighbours of images or features, fast and in bounded memory.

Candidates come from matrix products, ||x - y||^2 = ||x||^2 - 2 xy + ||y||^2. That form cancels where it matters most,
for copies, so it only proposes: the order and the distances come from the differences themselves, and a result stands
only once a bound on the product's error shows that no other reference can belong to it. A query for which the bound
does not suffice is searched again, with more candidates in double precision.

Images (uint8) take a shorter way: shifted by 128 they are int8, their products are exact integers, and the same
identity then gives the exact distance, several times faster than in float32.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.files import InputError
from workflow_scripts.job import progress

# The largest row for which the int8 form's half distances, at most 1.5 * 128^2 a value, fit into 32 bits.
LONGEST_INT8_ROW = (2**31 - 1) // (3 * 2**13)
ROW_BATCH_BYTES = 256 * 2**20  # queries in float32, references in float32, or candidate lists, held at a time
LARGEST_NORM = 1e36  # squared; beyond it float32 overflows
PAIR_BATCH_BYTES = 32 * 2**20  # rows gathered at a time to take differences


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

    exact_products = queries.dtype == np.uint8 and queries.shape[1] <= LONGEST_INT8_ROW and _int8_products_are_exact()
    form = Form.int8() if exact_products else Form.floating(torch.float32, references)
    width = min(available, k + max(8, k // 4))
    pending = np.arange(count)
    while len(pending):
        unsettled = []
        for rows in _batches(len(pending), ROW_BATCH_BYTES // (32 * width)):
            chosen = pending[rows]
            found = _search(queries, references, chosen, k, width, form, torch.device(device), exclude_self)
            # Candidates are in order of index: a stable sort breaks ties by it.
            order = np.argsort(found.squared, axis=1, kind="stable")[:, :k]
            distances[chosen] = np.take_along_axis(found.squared, order, axis=1)
            indices[chosen] = np.take_along_axis(found.indices, order, axis=1)
            unsettled.append(chosen[distances[chosen, -1] >= found.excluded_from])
        pending = np.concatenate(unsettled)
        width = min(available, 4 * width)
        if not exact_products:
            form = Form.floating(torch.float64, references)

    unit = 255.0 if queries.dtype == np.uint8 else 1.0
    return Neighbours(np.sqrt(distances / queries.shape[1]) / unit, indices)


def squared_distances(queries: np.ndarray, references: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances of the pairs (queries[rows[i]], references[columns[i]]) by their differences.

    queries (m, d), references (n, d), rows and columns int64 (p,); float64 (p,). Integers give an exact result. Equal
    pairs give equal distances wherever they stand: NumPy sums each row in the same order.
    """
    result = np.empty(len(rows))
    for part in _batches(len(rows), PAIR_BATCH_BYTES // (8 * queries.shape[1])):
        difference = np.subtract(queries[rows[part]], references[columns[part]], dtype=np.float64)
        np.einsum("ij,ij->i", difference, difference, out=result[part])
    return result


@dataclass(frozen=True)
class Form:
    """A number format for the products of rows, and how far a squared distance computed with them can be off."""

    dtype: torch.dtype
    centre: np.ndarray

    @classmethod
    def int8(cls) -> "Form":
        return cls(torch.int8, np.array(128, dtype=np.uint8))

    @classmethod
    def floating(cls, dtype: torch.dtype, references: np.ndarray) -> "Form":
        # Any centre is right; the mean keeps norms, and with them the error, small. Whole numbers keep uint8 exact.
        centre = references[:: max(1, len(references) // 1024)].mean(axis=0, dtype=np.float64)
        whole = references.dtype == np.uint8
        return cls(dtype, (np.rint(centre) if whole else centre).astype(np.result_type(references.dtype, np.float32)))

    def encode(self, rows: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
        """Rows (r, d) about the centre, in this format, and their squared norms (int64, or float64)."""
        if self.dtype == torch.int8:
            values = torch.from_numpy(np.bitwise_xor(rows, self.centre).view(np.int8)).to(device)
            # Squares are at most 2^14: sums of 512 are exact in float32, which is much faster than in integers.
            padded = torch.nn.functional.pad(values, (0, -values.shape[1] % 512)).view(len(values), -1, 512)
            return values, padded.float().square_().sum(2).long().sum(1)
        single = self.dtype == torch.float32 and rows.dtype != np.float64
        with np.errstate(invalid="ignore"):  # infinities are found by their norms, with a message
            wide = np.subtract(rows, self.centre, dtype=np.float32 if single else np.float64)
        values = torch.from_numpy(wide).to(device, self.dtype)
        return values, torch.linalg.vector_norm(values, dim=1, dtype=torch.float64).square_()

    def error(self, norms: Tensor, largest_norm: float, length: int) -> Tensor:
        """Bound on the error of a squared distance between rows of these norms, rows having `length` values.

        A product of rows x, y of length d, summed in any order, is off by at most d u |x||y| (Higham, Accuracy and
        Stability of Numerical Algorithms, section 3.1), u the unit roundoff; the rest is for the rounding of the
        rows and norms, for the sum of the differences in double precision, and for underflow. In int8 all is exact
        but for norms that are odd, which are halved downwards: such a distance is 1 too small, never too large.
        """
        if self.dtype == torch.int8:
            return torch.zeros_like(norms)
        kind = torch.finfo(self.dtype)
        relative = (length / 2 + 8) * kind.eps / 2 + 2 * length * 2.0**-53
        return relative * (norms + largest_norm) ** 2 + 4 * length * kind.tiny


@dataclass(frozen=True)
class Block:
    """Half squared distances h of some queries to some references: the squared distance is about |query|^2 + 2 h."""

    rows: slice
    columns: slice
    half: Tensor  # (rows, columns), int32 or floating point
    query_norms: Tensor  # squared, (rows,)
    reference_norms: Tensor  # squared, (columns,)


def distance_blocks(
    queries: np.ndarray, references: np.ndarray, form: Form, device: torch.device, rows: np.ndarray | None = None
) -> Iterator[Block]:
    """Yield the half squared distances of all queries (or those in `rows`) to all references, block by block."""
    count = len(queries) if rows is None else len(rows)
    high, wide = (8192, 65536) if device.type == "cuda" else (1024, 8192)
    encoded_rows = ROW_BATCH_BYTES // (4 * queries.shape[1])
    for batch in _batches(count, encoded_rows):
        left, left_norms = form.encode(queries[batch if rows is None else rows[batch]], device)
        for columns in _batches(len(references), min(wide, encoded_rows)):
            right, right_norms = form.encode(references[columns], device)
            halves = right_norms >> 1 if form.dtype == torch.int8 else right_norms / 2
            halves = halves.to(torch.int32 if form.dtype == torch.int8 else form.dtype)
            for part in _batches(len(left), high):
                yield Block(
                    rows=slice(batch.start + part.start, batch.start + part.stop),
                    columns=columns,
                    half=halves - _product(left[part], right),
                    query_norms=left_norms[part],
                    reference_norms=right_norms,
                )


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
    scores = torch.full((len(rows), width), _largest(form), device=device, dtype=torch.int32 if whole else form.dtype)
    indices = torch.full((len(rows), width), -1, device=device)
    query_norms = torch.zeros(len(rows), device=device, dtype=torch.int64 if whole else torch.float64)
    reference_norms = torch.zeros(len(references), device=device, dtype=query_norms.dtype)
    identity = torch.from_numpy(rows).to(device)
    with progress(len(rows) * len(references), "pairs", label="search") as bar:
        for block in distance_blocks(queries, references, form, device, None if len(rows) == len(queries) else rows):
            query_norms[block.rows], reference_norms[block.columns] = block.query_norms, block.reference_norms
            if exclude_self:
                own = identity[block.rows] - block.columns.start
                inside = torch.nonzero((own >= 0) & (own < block.half.shape[1])).squeeze(1)
                block.half[inside, own[inside]] = _largest(form)
            best, places = _smallest(block.half, min(width, block.half.shape[1]))
            merged = torch.cat([scores[block.rows], best], dim=1)
            origins = torch.cat([indices[block.rows], places + block.columns.start], dim=1)
            scores[block.rows], order = merged.topk(width, dim=1, largest=False, sorted=False)
            indices[block.rows] = origins.gather(1, order)
            bar.advance(block.half.numel())

    if not whole and not bool((query_norms.amax() < LARGEST_NORM) & (reference_norms.amax() < LARGEST_NORM)):
        raise InputError(
            "nearest neighbours: some values are not finite, or beyond 1e18; leave out or scale those rows"
        )
    indices, places = indices.sort(dim=1)
    approximate = query_norms[:, None] + 2 * scores.gather(1, places).to(query_norms.dtype)
    error = form.error(query_norms.double().sqrt(), float(reference_norms.amax()) ** 0.5, queries.shape[1])
    everything = width == len(references) - exclude_self
    bound = np.full(len(rows), np.inf) if everything else (approximate.amax(1) - error).cpu().numpy()
    found = indices.cpu().numpy()
    if whole:
        return _Candidates(found, (approximate + (reference_norms[indices] & 1)).double().cpu().numpy(), bound)
    # Only what the error leaves in question among the first k is worth its differences.
    last = approximate.kthvalue(min(k, width), dim=1, keepdim=True).values
    near, place = (approximate <= last + 2 * error[:, None]).cpu().numpy().nonzero()
    exact = np.full(found.shape, np.inf)
    exact[near, place] = squared_distances(queries, references, rows[near], found[near, place])
    # A product that the bound does not hold for (reduced precision switched on, overflow) proves nothing.
    off = np.abs(approximate.cpu().numpy() - exact) > error.cpu().numpy()[:, None]
    sound = ~(off & np.isfinite(exact)).any(axis=1)
    if form.dtype == torch.float64 and not sound.all():
        raise ArithmeticError("nearest neighbours: products in double precision are off by more than their bound")
    return _Candidates(found, exact, np.where(sound, bound, -np.inf))


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


def _product(left: Tensor, right: Tensor) -> Tensor:
    """left (a, d) times right (b, d) transposed; int8 gives exact int32."""
    if left.dtype != torch.int8:
        return left @ right.T
    # CUDA's kernel wants more than 16 rows, and columns and length in eights; zeros add nothing.
    pad = torch.nn.functional.pad
    length = -left.shape[1] % 8
    a = pad(left, (0, length, 0, max(0, 17 - len(left))))
    b = pad(right, (0, length, 0, -len(right) % 8))
    return torch._int_mm(a, b.T)[: len(left), : len(right)]


@cache
def _int8_products_are_exact() -> bool:
    """Whether this machine multiplies int8 exactly: processors without such instructions may saturate in between."""
    extremes = torch.tensor([-128, 127], dtype=torch.int8)
    left, right = (extremes[torch.from_numpy(np.random.default_rng(i).integers(0, 2, (64, 520)))] for i in (0, 1))
    return torch.equal(_product(left, right).long(), left.long() @ right.long().T)


def _largest(form: Form) -> float:
    return torch.iinfo(torch.int32).max if form.dtype == torch.int8 else torch.inf


def _batches(count: int, size: int) -> Iterator[slice]:
    size = max(1, size)
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


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
