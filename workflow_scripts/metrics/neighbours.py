"""Exact nearest neighbours of images or features, fast and in bounded memory.

Candidates come from matrix products, ||x - y||^2 = ||x||^2 - 2 xy + ||y||^2. That form cancels where it matters most,
for copies, so it only proposes: the order and the distances come from the differences themselves, and a result stands
only once a bound on the product's error shows that no other reference can belong to it. A query for which the bound
does not suffice is searched again, with more candidates in double precision.

Images (uint8) take a shorter way: shifted by 128 they are int8, their products are exact integers, and the same
identity then gives the exact distance, several times faster than in float32 where there are instructions for them.
Features are tried in bfloat16 first where few neighbours are wanted and the processor multiplies it twice as fast: what
it leaves in doubt is a few more candidates.
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.core.devices import is_emulated, side_by_side
from workflow_scripts.core.errors import InputError
from workflow_scripts.core.progress import progress

T = TypeVar("T")

# The largest row for which the int8 form's half distances, at most 1.5 * 128^2 a value, fit into 32 bits.
LONGEST_INT8_ROW = (2**31 - 1) // (3 * 2**13)
ROW_BATCH_BYTES = 256 * 2**20  # float32 queries, each of two blocks of references, or candidate lists, held at a time
LARGEST_NORM = 1e36  # squared; beyond it float32 overflows
CACHED_BYTES = 2**20  # rows in double precision that are worked on at a time, in the processor's cache
MOST_IN_BFLOAT16 = 10  # neighbours: of more, bfloat16 would leave too many in doubt


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
        form = Form.int8() if kinds[0] == torch.int8 else Form.floating(kinds[0], references)
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
        kinds = kinds[1:] or kinds

    unit = 255.0 if queries.dtype == np.uint8 else 1.0
    return Neighbours(np.sqrt(distances / queries.shape[1]) / unit, indices)


def squared_distances(queries: np.ndarray, references: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances of the pairs (queries[rows[i]], references[columns[i]]) by their differences.

    queries (m, d), references (n, d), rows and columns int64 (p,); float64 (p,). Integers give an exact result. Equal
    pairs give equal distances wherever they stand: NumPy sums each row in the same order.
    """
    result = np.empty(len(rows))
    for part in _batches(len(rows), CACHED_BYTES // (8 * queries.shape[1])):
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

    @property
    def scores(self) -> torch.dtype:
        """The format of half squared distances."""
        return {torch.int8: torch.int32, torch.bfloat16: torch.float32}.get(self.dtype, self.dtype)

    def encode(self, rows: np.ndarray, device: torch.device) -> "Rows":
        """Rows (r, d) about the centre, in this format."""
        if self.dtype == torch.int8:
            values = torch.from_numpy(np.bitwise_xor(rows, self.centre).view(np.int8)).to(device)
            # Squares are at most 2^14: sums of 512 are exact in float32, which is much faster than in integers.
            padded = torch.nn.functional.pad(values, (0, -values.shape[1] % 512)).view(len(values), -1, 512)
            squares = [part.square_().sum(2).long().sum(1) for part in _converted(padded, torch.float32)]
            return Rows(values, torch.cat(squares))
        single = self.dtype != torch.float64 and rows.dtype != np.float64
        with np.errstate(invalid="ignore"):  # infinities are found by their norms, with a message
            wide = np.subtract(rows, self.centre, dtype=np.float32 if single else np.float64)
        given = torch.from_numpy(wide).to(device)
        values = given.to(self.dtype)
        kept = given if self.dtype == torch.bfloat16 else values
        norms = torch.cat([part.square_().sum(1) for part in _converted(kept, torch.float64)])
        if self.dtype != torch.bfloat16:
            return Rows(values, norms)
        pairs = zip(_in_cache(given), _converted(values, torch.float32), strict=True)
        differences = torch.cat([torch.linalg.vector_norm(rounded.sub_(exact), dim=1) for exact, rounded in pairs])
        lost = (differences.double() / norms.sqrt()).nan_to_num_(0).amax()
        return Rows(values, norms, 1.001 * float(lost))  # the differences are exact, their norms nearly

    def error(self, norms: Tensor, largest_norm: float, length: int, lost: float = 0.0) -> Tensor:
        """Bound on the error of a squared distance between rows of these norms, rows having `length` values.

        A product of rows x, y of length d, summed in any order, is off by at most d u |x||y| (Higham, Accuracy and
        Stability of Numerical Algorithms, section 3.1), u the unit roundoff of the sums; the rest is for the rounding
        of the rows and norms, for the sum of the differences in double precision, and for underflow. In int8 all is
        exact but for norms that are odd, which are halved downwards: such a distance is 1 too small, never too large.
        `lost` is the share of a row's norm that bfloat16 rounded away, by Cauchy and Schwarz in either factor.
        """
        if self.dtype == torch.int8:
            return torch.zeros_like(norms)
        kind = torch.finfo(self.scores)
        relative = (length / 2 + 8) * kind.eps / 2 + 2 * length * 2.0**-53
        rounded = 2 * lost * (2 + lost) * norms * largest_norm
        return relative * (norms + largest_norm) ** 2 + rounded + 4 * length * kind.tiny

    def rounding(self, doubled: Tensor) -> Tensor:
        """Bound on the error by which twice a product, of about this size, leaves the multiplication."""
        return doubled.abs() * (torch.finfo(torch.bfloat16).eps / 2 if self.dtype == torch.bfloat16 else 0.0)


@dataclass(frozen=True)
class Rows:
    """Rows in the format of a Form.

    values: (r, d). norms: (r,), squared, of the rows before rounding, int64 or float64. lost: the largest share of a
    row's norm that rounding to bfloat16 took away.
    """

    values: Tensor
    norms: Tensor
    lost: float = 0.0


@dataclass(frozen=True)
class Block:
    """Half squared distances h of some queries to some references: the squared distance is about |query|^2 + 2 h."""

    rows: slice
    columns: slice
    half: Tensor  # (rows, columns), int32 or floating point
    query_norms: Tensor  # squared, (rows,)
    reference_norms: Tensor  # squared, (columns,)
    lost: float  # as in Rows, of either


def each_block(
    work: Callable[[Block], None],
    queries: np.ndarray,
    references: np.ndarray,
    form: Form,
    device: torch.device,
    rows: np.ndarray | None = None,
) -> None:
    """Call `work` with the half squared distances of all queries (or those in `rows`) to all references, by blocks.

    On a CPU with several threads it is called from all of them at once, each time with other queries.
    """
    count = len(queries) if rows is None else len(rows)
    high, wide = (8192, 65536) if device.type == "cuda" else (2560, 2048)
    encoded_rows = ROW_BATCH_BYTES // (4 * queries.shape[1])
    with progress(count * len(references), "pairs", label="search") as bar, side_by_side(device) as (threads, mapped):
        for batch in _batches(count, encoded_rows):
            left = form.encode(queries[batch if rows is None else rows[batch]], device)
            # As many parts for each thread, so that none waits long for another.
            parts = threads * math.ceil(len(left.values) / (threads * high))
            slices = _batches(len(references), min(wide, encoded_rows))
            for columns, right in _one_ahead((columns, form.encode(references[columns], device)) for columns in slices):
                halves = (right.norms >> 1 if form.dtype == torch.int8 else right.norms / 2).to(form.scores)
                compute = partial(_work_on_block, work, left, batch.start, right, halves, columns)
                for pairs in mapped(compute, _batches(len(left.values), math.ceil(len(left.values) / parts))):
                    bar.advance(pairs)


def _one_ahead(parts: Iterator[T]) -> Iterator[T]:
    """The parts, of which each is made while the one before is worked on."""
    with ThreadPoolExecutor(1) as maker:
        following = maker.submit(next, parts, None)
        while (part := following.result()) is not None:
            following = maker.submit(next, parts, None)
            yield part


def _work_on_block(
    work: Callable[[Block], None], left: Rows, first: int, right: Rows, halves: Tensor, columns: slice, part: slice
) -> int:
    """Call `work` with the block of left[part], whose rows count from `first`, and `right`; the number of its pairs.

    halves: of right's norms, in the format of the scores.
    """
    product = _product(left.values[part], right.values).to(halves.dtype)
    block = Block(
        rows=slice(first + part.start, first + part.stop),
        columns=columns,
        half=torch.sub(halves, product, out=product),
        query_norms=left.norms[part],
        reference_norms=right.norms,
        lost=max(left.lost, right.lost),
    )
    work(block)
    return block.half.numel()


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
    scores = torch.full((len(rows), width), _largest(form), device=device, dtype=form.scores)
    indices = torch.full((len(rows), width), -1, device=device)
    query_norms = torch.zeros(len(rows), device=device, dtype=torch.int64 if whole else torch.float64)
    reference_norms = torch.zeros(len(references), device=device, dtype=query_norms.dtype)
    identity = torch.from_numpy(rows).to(device)
    losses = []

    def keep(block: Block) -> None:
        query_norms[block.rows], reference_norms[block.columns] = block.query_norms, block.reference_norms
        losses.append(block.lost)
        if exclude_self:
            own = identity[block.rows] - block.columns.start
            inside = torch.nonzero((own >= 0) & (own < block.half.shape[1])).squeeze(1)
            block.half[inside, own[inside]] = _largest(form)
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
    largest = reference_norms.amax()
    error = form.error(query_norms.double().sqrt(), float(largest) ** 0.5, queries.shape[1], max(losses))
    everything = width == len(references) - exclude_self
    farthest = approximate.amax(1)
    # Of the references left out, the doubled products lie between those of the farthest candidate and of a far one.
    beyond = torch.maximum(form.rounding(query_norms + largest - farthest), form.rounding(farthest))
    bound = np.full(len(rows), np.inf) if everything else (farthest - error - beyond).cpu().numpy()
    found = indices.cpu().numpy()
    if whole:
        return _Candidates(found, (approximate + (reference_norms[indices] & 1)).double().cpu().numpy(), bound)
    # The differences of the first k, and then of those alone that the error leaves in question among them.
    doubt = error[:, None] + form.rounding(query_norms[:, None] + reference_norms[indices] - approximate)
    exact, least = np.full(found.shape, np.inf), (approximate - doubt).cpu().numpy()
    first = approximate.topk(k, dim=1, largest=False, sorted=False).indices.cpu().numpy()
    near, place = np.repeat(np.arange(len(rows)), k), first.ravel()
    exact[near, place] = squared_distances(queries, references, rows[near], found[near, place])
    last = np.take_along_axis(exact, first, axis=1).max(axis=1, keepdims=True)
    near, place = ((least <= last) & np.isinf(exact)).nonzero()
    exact[near, place] = squared_distances(queries, references, rows[near], found[near, place])
    # A product that the bound does not hold for (reduced precision switched on, overflow) proves nothing.
    off = np.abs(approximate.cpu().numpy() - exact) > doubt.cpu().numpy()
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
        if left.device.type == "cpu" and left.dtype != torch.bfloat16:
            # By NumPy, whose library is the faster one on processors without AVX-512, and no slower on others.
            return torch.from_numpy(left.numpy() @ right.numpy().T)
        return left @ right.T
    # CUDA's kernel wants more than 16 rows, and columns and length in eights; zeros add nothing.
    pad = torch.nn.functional.pad
    length = -left.shape[1] % 8
    a = pad(left, (0, length, 0, max(0, 17 - len(left))))
    b = pad(right, (0, length, 0, -len(right) % 8))
    return torch._int_mm(a, b.T)[: len(left), : len(right)]


def _in_cache(rows: Tensor) -> tuple[Tensor, ...]:
    """Parts of rows (r, ...) that stay in a processor's cache while they are worked on; on a GPU all at once."""
    wanted = CACHED_BYTES // (8 * rows[:1].numel()) if rows.device.type == "cpu" and len(rows) else len(rows)
    return rows.split(max(1, wanted))


def _converted(rows: Tensor, dtype: torch.dtype) -> Iterator[Tensor]:
    """Those parts in another format, each in the place of the one before: new memory takes ten times as long."""
    parts = _in_cache(rows)
    room = torch.empty_like(parts[0], dtype=dtype)
    return (room[: len(part)].copy_(part) for part in parts)


def formats(queries: np.ndarray, k: int, device: torch.device) -> list[torch.dtype]:
    """The formats in which to search, one after the other; the last again while anything is left."""
    whole = queries.dtype == np.uint8 and queries.shape[1] <= LONGEST_INT8_ROW
    if whole and not is_emulated(torch.int8, device) and _int8_products_are_exact():
        return [torch.int8]
    floating = [torch.bfloat16, torch.float32, torch.float64]
    fast = device.type == "cpu" and not is_emulated(torch.bfloat16, device)
    return floating if k <= MOST_IN_BFLOAT16 and fast else floating[1:]


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
