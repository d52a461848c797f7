"""Steps as CUDA graphs: the GPU repeats a recorded step, so that starting its kernels one by one costs nothing."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

WARM_UP = 3  # steps of a kind before it is recorded: CUDA's libraries set themselves up in the first ones


class StepGraphs:
    """Records each kind of step once, and repeats the record.

    Steps of one kind launch the same kernels on the same memory; only the inputs and the seed of the default generator
    differ. Inputs are copied to where the recorded step reads them, and a graph takes the generator's current seed.
    """

    def __init__(self, optimisers: Iterable[torch.optim.Optimizer]) -> None:
        self.optimisers = list(optimisers)
        self._stream, self._pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()
        self._graphs: dict[Hashable, tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor]] = {}
        self._taken: Counter[Hashable] = Counter()

    def run(self, kind: Hashable, step: Callable[[list[Tensor]], Tensor], inputs: list[Tensor]) -> Tensor:
        """What `step` gives for these inputs; to be read before the next step. kind: None for a step of no kind."""
        if kind not in self._graphs:
            self._taken[kind] += 1
            if kind is None or self._taken[kind] <= WARM_UP:
                return self._as_it_is(step, inputs)
            self._graphs[kind] = self._record(step, inputs)
        graph, places, result = self._graphs[kind]
        for place, value in zip(places, inputs, strict=True):
            place.copy_(value)
        graph.replay()
        return result

    def _as_it_is(self, step: Callable[[list[Tensor]], Tensor], inputs: list[Tensor]) -> Tensor:
        """On the stream of the records, which autograd remembers of every parameter."""
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            result = step(inputs)
        current.wait_stream(self._stream)
        return result

    def _record(
        self, step: Callable[[list[Tensor]], Tensor], inputs: list[Tensor]
    ) -> tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor]:
        graph, places = torch.cuda.CUDAGraph(), [value.clone() for value in inputs]
        with self._recordable(), torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
            result = step(places)
        return graph, places, result

    @contextmanager
    def _recordable(self) -> Iterator[None]:
        """Optimisers want to be told; all that they keep is on the GPU in any case."""
        groups = [group for optimiser in self.optimisers for group in optimiser.param_groups]
        for group in groups:
            group["capturable"] = True
        try:
            yield
        finally:
            for group in groups:
                group["capturable"] = False
