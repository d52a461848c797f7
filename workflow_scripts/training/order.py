"""What a training step sees, as a function of (seed, step): its batch by `BatchOrder`, its noise by `step_seed`.

A resumed run therefore needs no generator state, and ends in the same bytes as an uninterrupted one.
"""

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.core.devices import to_device

# Numbers that no training step has, for the other uses of a run's seed.
INITIAL_WEIGHTS, SAMPLES = 2**32 - 1, 2**32 - 2

AT_ONCE = 64  # batches whose indices go to the device together: each copy makes a GPU wait for the host


class BatchOrder:
    """Which images batch number i holds: consecutive pieces of an endless row of seeded permutations of the set."""

    def __init__(self, count: int, batch: int, seed: int) -> None:
        self.count, self.batch, self.seed = count, batch, seed
        self._permutations: dict[int, np.ndarray] = {}  # of the two newest epochs
        self._uploaded: tuple[int, Tensor] | None = None

    def indices(self, number: int, batches: int = 1) -> np.ndarray:
        """Indices (batches * batch,) int64 of `batches` batches from `number` on, whatever was asked before."""
        first, last = number * self.batch, (number + batches) * self.batch
        epochs = range(first // self.count, (last - 1) // self.count + 1)
        row = np.concatenate([self._permutation(epoch) for epoch in epochs])
        start = epochs[0] * self.count
        return row[first - start : last - start]

    def on_device(self, number: int, device: torch.device) -> Tensor:
        """Indices (batch,) int64 of batch `number`, on the device."""
        block, place = divmod(number, AT_ONCE)
        if self._uploaded is None or self._uploaded[0] != block:
            indices = torch.from_numpy(self.indices(block * AT_ONCE, AT_ONCE))
            self._uploaded = block, to_device(indices.view(AT_ONCE, self.batch), device)
        return self._uploaded[1][place]

    def _permutation(self, epoch: int) -> np.ndarray:
        if epoch not in self._permutations:
            newest = sorted(self._permutations)[-1:]
            self._permutations = {kept: self._permutations[kept] for kept in newest}
            self._permutations[epoch] = np.random.default_rng([self.seed, epoch]).permutation(self.count)
        return self._permutations[epoch]


def step_seed(seed: int, step: int) -> int:
    """A seed for torch, well mixed: neighbouring steps and seeds share nothing."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)
