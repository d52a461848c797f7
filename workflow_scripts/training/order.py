"""What a training step sees, as a function of (seed, step): its batch by `BatchOrder`, its noise by `step_seed`.

A resumed run therefore needs no generator state, and ends in the same bytes as an uninterrupted one.
"""

import numpy as np

# Numbers that no training step has, for the other uses of a run's seed.
INITIAL_WEIGHTS, SAMPLES = 2**32 - 1, 2**32 - 2


class BatchOrder:
    """Which images batch number i holds: consecutive pieces of an endless row of seeded permutations of the set."""

    def __init__(self, count: int, batch: int, seed: int) -> None:
        self.count, self.batch, self.seed = count, batch, seed

    def indices(self, number: int) -> np.ndarray:
        """Indices (batch,) int64 of batch `number`, whatever was asked before."""
        positions = np.arange(number * self.batch, (number + 1) * self.batch)
        epochs = range(positions[0] // self.count, positions[-1] // self.count + 1)
        row = np.concatenate([np.random.default_rng([self.seed, epoch]).permutation(self.count) for epoch in epochs])
        return row[positions - epochs[0] * self.count]


def step_seed(seed: int, step: int) -> int:
    """A seed for torch, well mixed: neighbouring steps and seeds share nothing."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)


def due(done: int, total: int, times: int) -> bool:
    """Whether what is to happen `times` times at even intervals, last after all steps, is due after step `done`."""
    return done * times // total > (done - 1) * times // total
