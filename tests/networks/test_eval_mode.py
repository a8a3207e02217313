import pytest
import torch
from torch import nn

from pix2pix.errors import UserError
from pix2pix.networks.norm import Dropout, Norm, eval_mode


def test_switches_are_restored():
    network = nn.Sequential(Norm(2, "batch"), Dropout())
    with eval_mode(network, statistics="image", dropout=False):
        assert (network[0].statistics, network[1].active) == ("image", False)
    assert (network[0].statistics, network[1].active) == ("batch", True)


def test_translating_does_not_move_the_running_averages():
    norm = Norm(2, "batch")
    before = norm.running_mean.clone()
    with eval_mode(norm, statistics="image", dropout=False):
        norm(torch.randn(1, 2, 8, 8) + 9)
    assert torch.equal(norm.running_mean, before)


def test_running_statistics_are_refused_where_there_are_none():
    with (
        pytest.raises(UserError, match="--norm_stats running needs a network trained with BatchNorm"),
        eval_mode(Norm(2, "instance"), statistics="running", dropout=False),
    ):
        pass


def test_dropout_draws_the_same_however_the_image_lies_in_memory():
    x, dropout, drawn = torch.rand(2, 3, 5, 7), Dropout(0.5), []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        drawn.append(dropout(x.contiguous(memory_format=layout)))
    assert torch.equal(*drawn)
