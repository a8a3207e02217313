"""Learning rate and state of optimizers on any device, and the learning rate schedule."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of an optimizer, in place if it is a tensor on a device."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def get_optimizer_state(optimizer: Optimizer) -> dict[str, Any]:
    """Return the state of an optimizer in a form that does not depend on the device or CUDA graphs."""
    state = optimizer.state_dict()
    groups = [group | {"lr": float(group["lr"]), "capturable": False} for group in state["param_groups"]]
    return {"state": state["state"], "param_groups": groups}


@torch.no_grad()
def load_optimizer_state(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Load a state of `get_optimizer_state` from any device."""
    own = [(group["lr"], group["capturable"]) for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    (rate,) = {group["lr"] for group in optimizer.param_groups}
    for group, (place, capturable) in zip(optimizer.param_groups, own, strict=True):
        group |= {"lr": place, "capturable": capturable}
    set_learning_rate(optimizer, rate)
    for weight, moments in optimizer.state.items():  # fused optimizers need the memory layout of the weight
        for name, value in moments.items():
            if value.shape == weight.shape:
                moments[name] = torch.empty_like(weight).copy_(value)


def linear_decay(step: int, total_steps: int, constant_share: float) -> float:
    """Return the factor of the rate at a step: 1, then decaying to 1 / (n + 1) in the last of n decaying steps."""
    decaying = total_steps - round(total_steps * constant_share)
    return min(1.0, (total_steps - step + 1) / (decaying + 1))
