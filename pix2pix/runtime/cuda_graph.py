"""A training step as one CUDA graph: recorded once, then replayed."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Step = Callable[..., dict[str, Tensor]]

WARM_UP = 3  # calls as they are, in which libraries choose their kernels and optimisers make their state


class CudaGraphStep:
    """A step that maps tensors on a GPU to named scalars, recorded in its fourth call and replayed from then on.

    Each call is one step, whether it runs as it is, records or replays. Inputs of other shapes than the first ones run
    as they are. The step must not wait for the GPU, and what it reads beside its inputs must stay where it lies.
    """

    def __init__(self, step: Step, device: torch.device):
        self.step, self.device = step, device
        self.calls = 0
        self.inputs: list[Tensor] = []
        self.outputs: dict[str, Tensor] = {}
        self.graph: torch.cuda.CUDAGraph | None = None
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __call__(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Make the step; the scalars are the caller's own."""
        with torch.cuda.device(self.device):  # a graph of another device than the current one would be empty
            return self._made(inputs)

    def _made(self, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
        if not self.inputs:
            self.inputs = [torch.empty_like(x) for x in inputs]
        if [x.shape for x in inputs] != [x.shape for x in self.inputs]:
            return self.step(*inputs)
        self.calls += 1
        if self.calls <= WARM_UP:
            return self._aside(inputs)
        for place, x in zip(self.inputs, inputs, strict=True):
            place.copy_(x, non_blocking=True)
        if self.graph is None:
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, stream=self.stream):  # nothing is computed here
                self.outputs = self.step(*self.inputs)
        self.graph.replay()
        return {name: value.clone() for name, value in self.outputs.items()}

    def _aside(self, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
        """Make the step on the stream of the recording, as CUDA asks of what will be recorded."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            outputs = self.step(*inputs)
        torch.cuda.current_stream().wait_stream(self.stream)
        return outputs
