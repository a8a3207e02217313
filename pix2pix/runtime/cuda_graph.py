"""A training step as a CUDA graph: recorded once, then replayed."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar

import torch
from torch import Tensor

AnyBatch = TypeVar("AnyBatch", bound=Any)  # a named tuple, some of whose fields are tensors

WARM_UP = 3  # eager calls before recording, in which libraries choose kernels and optimizers create their state


def recordable(
    training_step: Callable[[Any, AnyBatch], dict[str, Tensor]],
) -> Callable[[Any, AnyBatch], dict[str, Tensor]]:
    """Decorate a method's training step: with --fast graph it is recorded as a CUDA graph and replayed.

    The step must not wait for the device, and must read nothing but the batch and tensors that stay where they are.
    """

    @wraps(training_step)
    def run(method: Any, batch: AnyBatch) -> dict[str, Tensor]:
        if "graph" not in method.runtime.fast:
            return training_step(method, batch)
        if not hasattr(method, "cuda_graph"):
            method.cuda_graph = CudaGraphStep(partial(training_step, method), method.runtime.device)
        tensors = {name: method.runtime.to_device(x) for name, x in batch._asdict().items() if isinstance(x, Tensor)}
        scalars: dict[str, Tensor] = method.cuda_graph(batch._replace(**tensors))
        return scalars

    return run


class CudaGraphStep:
    """A step from a batch on a GPU to named scalars: recorded in its fourth call, replayed from then on.

    Each call makes exactly one step. A batch whose tensors have other shapes than the first one's runs eagerly.
    """

    def __init__(self, step: Callable[[Any], dict[str, Tensor]], device: torch.device):
        self.step, self.device = step, device
        self.calls = 0
        self.inputs: Any = None  # a batch whose tensors are the graph's fixed inputs
        self.outputs: dict[str, Tensor] = {}
        self.graph: torch.cuda.CUDAGraph | None = None
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __call__(self, batch: AnyBatch) -> dict[str, Tensor]:
        """Make the step and return its scalars, which later calls do not overwrite."""
        with torch.cuda.device(self.device):  # a graph recorded with another current device would be empty
            tensors = {name: x for name, x in batch._asdict().items() if isinstance(x, Tensor)}
            if self.inputs is None:
                self.inputs = batch._replace(**{name: torch.empty_like(x) for name, x in tensors.items()})
            if any(x.shape != getattr(self.inputs, name).shape for name, x in tensors.items()):
                return self.step(batch)
            self.calls += 1
            if self.calls <= WARM_UP:
                return self._run_on_side_stream(batch)
            for name, x in tensors.items():
                getattr(self.inputs, name).copy_(x, non_blocking=True)
            if self.graph is None:
                self.graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(self.graph, stream=self.stream):  # records, computes nothing
                    self.outputs = self.step(self.inputs)
            self.graph.replay()
            return {name: value.clone() for name, value in self.outputs.items()}

    def _run_on_side_stream(self, batch: AnyBatch) -> dict[str, Tensor]:
        """Run eagerly on the stream of the recording, as CUDA requires of warm-up calls."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            outputs = self.step(batch)
        torch.cuda.current_stream().wait_stream(self.stream)
        return outputs
