"""Squared distances of many rows to many others by matrix products, block by block, with a bound on their error.

||x - y||^2 = ||x||^2 - 2 xy + ||y||^2. In which number format the products are taken is a `Form`:

- images (uint8) shifted by 128 are int8. Their products are exact integers, and so are the distances, several times
  faster than in float32 where the processor has instructions for it.
- long rows of features are bfloat16 first where the processor multiplies that fast. Its bound is the coarse one of its
  rounding, and what it leaves in doubt is taken again in float32. Measured on one core with AMX, 3,000 queries among
  15,000 references: 1.4 times as fast as float32 for rows of 512 values, 1.9 times for 2,048, 0.7 times for 64.
- everything else is float32, then float64.
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

from workflow_scripts.core.devices import free_memory, is_emulated, side_by_side
from workflow_scripts.core.progress import progress

T = TypeVar("T")

# The largest row for which the int8 form's half distances, at most 1.5 * 128^2 a value, fit into 32 bits.
LONGEST_INT8_ROW = (2**31 - 1) // (3 * 2**13)
ROW_BATCH_BYTES = 256 * 2**20  # float32 queries, each of two blocks of references, or candidate lists, held at a time
CACHED_BYTES = 2**20  # rows in double precision that are worked on at a time, in the processor's cache
BYTES_OF_PAIR = 16  # of a block on a GPU: a product, the half distance, and what the choice of the smallest takes
SHORTEST_BFLOAT16_ROW = 512
MOST_IN_BFLOAT16 = 10  # neighbours: of more, bfloat16 would leave too many in doubt


@dataclass(frozen=True)
class Form:
    """A number format for the products of rows, and how far a squared distance computed with them can be off."""

    dtype: torch.dtype
    centre: np.ndarray

    @classmethod
    def of(cls, dtype: torch.dtype, references: np.ndarray) -> "Form":
        """The form of a format for rows about the centre of these references (n, d)."""
        if dtype == torch.int8:
            return cls(dtype, np.array(128, dtype=np.uint8))
        # Any centre is right; the mean keeps norms, and with them the error, small. Whole numbers keep uint8 exact.
        centre = references[:: max(1, len(references) // 1024)].mean(axis=0, dtype=np.float64)
        whole = references.dtype == np.uint8
        return cls(dtype, (np.rint(centre) if whole else centre).astype(np.result_type(references.dtype, np.float32)))

    @property
    def scores(self) -> torch.dtype:
        """The format of half squared distances."""
        return {torch.int8: torch.int32, torch.bfloat16: torch.float32}.get(self.dtype, self.dtype)

    @property
    def largest(self) -> float:
        return torch.iinfo(torch.int32).max if self.dtype == torch.int8 else torch.inf

    def encode(self, rows: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
        """Rows (r, d) about the centre in this format, and their squared norms (r,), int64 or float64, not rounded."""
        if self.dtype == torch.int8:
            values = torch.from_numpy(np.bitwise_xor(rows, self.centre).view(np.int8)).to(device)
            # Squares are at most 2^14: sums of 512 are exact in float32, which is much faster than in integers.
            padded = torch.nn.functional.pad(values, (0, -values.shape[1] % 512)).view(len(values), -1, 512)
            return values, torch.cat(
                [part.square_().sum(2).long().sum(1) for part in _converted(padded, torch.float32)]
            )
        single = self.dtype != torch.float64 and rows.dtype != np.float64
        with np.errstate(invalid="ignore"):  # infinities are found by their norms, with a message
            centred = np.subtract(rows, self.centre, dtype=np.float32 if single else np.float64)
        exact = torch.from_numpy(centred).to(device)
        values = exact.to(self.dtype)
        kept = exact if self.dtype == torch.bfloat16 else values
        return values, torch.cat([part.square_().sum(1) for part in _converted(kept, torch.float64)])

    def error(self, norms: Tensor, largest_norm: float, length: int) -> Tensor:
        """Bound on the error of a squared distance between rows of these norms, rows having `length` values.

        A product of rows x, y of length d, summed in any order, is off by at most d u |x||y| (Higham, Accuracy and
        Stability of Numerical Algorithms, section 3.1), u the unit roundoff of the sums; the rest is for the rounding
        of the rows and norms, for the sum of the differences in double precision, and for underflow. In bfloat16 both
        rows and the product are rounded, each by at most 2^-8, and the product counts twice. In int8 all is exact but
        for norms that are odd, which are halved downwards: such a distance is 1 too small, never too large.
        """
        if self.dtype == torch.int8:
            return torch.zeros_like(norms)
        kind = torch.finfo(self.scores)
        relative = (length / 2 + 8) * kind.eps / 2 + 2 * length * 2.0**-53
        rounded = 2 * ((1 + 2.0**-8) ** 3 - 1) * norms * largest_norm if self.dtype == torch.bfloat16 else 0.0
        return relative * (norms + largest_norm) ** 2 + rounded + 4 * length * kind.tiny


@dataclass(frozen=True)
class Block:
    """Half squared distances h of some queries to some references: the squared distance is about |query|^2 + 2 h."""

    rows: slice
    columns: slice
    half: Tensor  # (rows, columns), int32 or floating point
    query_norms: Tensor  # squared, (rows,)
    reference_norms: Tensor  # squared, (columns,)


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
    high, wide, row_bytes = _block_shape(device)
    encoded_rows = row_bytes // (4 * queries.shape[1])
    with progress(count * len(references), "pairs", label="search") as bar, side_by_side(device) as (threads, mapped):
        for batch in batches(count, encoded_rows):
            left = form.encode(queries[batch if rows is None else rows[batch]], device)
            # As many parts for each thread, so that none waits long for another.
            parts = threads * math.ceil(len(left[0]) / (threads * high))
            slices = batches(len(references), min(wide, encoded_rows))
            for columns, right in _one_ahead((columns, form.encode(references[columns], device)) for columns in slices):
                halves = (right[1] >> 1 if form.dtype == torch.int8 else right[1] / 2).to(form.scores)
                compute = partial(_work_on_block, work, left, batch.start, right, halves, columns)
                for pairs in mapped(compute, batches(len(left[0]), math.ceil(len(left[0]) / parts))):
                    bar.advance(pairs)


def _block_shape(device: torch.device) -> tuple[int, int, int]:
    """The most queries and references of a block, and bytes of float32 rows held of each.

    On a GPU such that a block and what is made of it take half of what is free. Of rows there are those of the queries
    and of two blocks of references, and while they are encoded the same in float64: they take the other half at most.
    """
    if device.type == "cpu":
        return 2560, 2048, ROW_BATCH_BYTES
    free = free_memory(device)
    pairs = free // 2 // BYTES_OF_PAIR
    wide = min(65536, max(2048, pairs // 1024))
    return min(8192, max(64, pairs // wide)), wide, min(ROW_BATCH_BYTES, free // 16)


def _one_ahead(parts: Iterator[T]) -> Iterator[T]:
    """The parts, of which each is made while the one before is worked on."""
    with ThreadPoolExecutor(1) as maker:
        following = maker.submit(next, parts, None)
        while (part := following.result()) is not None:
            following = maker.submit(next, parts, None)
            yield part


def _work_on_block(
    work: Callable[[Block], None],
    left: tuple[Tensor, Tensor],
    first: int,
    right: tuple[Tensor, Tensor],
    halves: Tensor,
    columns: slice,
    part: slice,
) -> int:
    """Call `work` with the block of left[part], whose rows count from `first`, and `right`; the number of its pairs.

    left, right: values and norms; halves: of right's norms, in the format of the scores.
    """
    half = product(left[0][part], right[0]).to(halves.dtype)
    torch.sub(halves, half, out=half)
    work(Block(slice(first + part.start, first + part.stop), columns, half, left[1][part], right[1]))
    return half.numel()


def product(left: Tensor, right: Tensor) -> Tensor:
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


def _converted(rows: Tensor, dtype: torch.dtype) -> Iterator[Tensor]:
    """Parts of rows (r, ...) in another format that stay in a processor's cache, or on a GPU all at once.

    Each takes the place of the one before: new memory takes ten times as long.
    """
    wanted = CACHED_BYTES // (8 * rows[:1].numel()) if rows.device.type == "cpu" and len(rows) else len(rows)
    parts = rows.split(max(1, wanted))
    room = torch.empty_like(parts[0], dtype=dtype)
    return (room[: len(part)].copy_(part) for part in parts)


def formats(queries: np.ndarray, k: int, device: torch.device) -> list[torch.dtype]:
    """The formats in which to search k neighbours, one after the other; the last again while anything is left."""
    length = queries.shape[1]
    whole = queries.dtype == np.uint8 and length <= LONGEST_INT8_ROW
    if whole and not is_emulated(torch.int8, device) and _int8_products_are_exact(device):
        return [torch.int8]
    fast = device.type == "cpu" and not is_emulated(torch.bfloat16, device)
    rough = [torch.bfloat16] if fast and length >= SHORTEST_BFLOAT16_ROW and k <= MOST_IN_BFLOAT16 else []
    return [*rough, torch.float32, torch.float64]


@cache
def _int8_products_are_exact(device: torch.device) -> bool:
    """Whether the device multiplies int8 exactly: processors without such instructions may saturate in between."""
    extremes = torch.tensor([-128, 127], dtype=torch.int8)
    left, right = (extremes[torch.from_numpy(np.random.default_rng(i).integers(0, 2, (64, 520)))] for i in (0, 1))
    return torch.equal(product(left.to(device), right.to(device)).long().cpu(), left.long() @ right.long().T)


def batches(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover 0..count."""
    size = max(1, size)
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
