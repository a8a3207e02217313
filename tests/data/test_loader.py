import multiprocessing
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass, replace
from itertools import islice
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pix2pix.data.arrays import to_array
from pix2pix.data.batch import RawPair
from pix2pix.data.codec import ImageCodec, PairCodec
from pix2pix.data.loader import LoaderError, batch_samples, iterate_pairs, training_batches
from pix2pix.data.transforms import Augment
from pix2pix.errors import ImageError, UserError


@dataclass(frozen=True)
class Noise:
    """Pairs of random images of the given sizes, the target inverted; reading number `broken` runs `failure`."""

    sizes: list[tuple[int, int]]
    broken: int = -1
    failure: object = None
    layout: str = "noise"

    @property
    def names(self):
        return [f"image_{number}" for number in range(len(self.sizes))]

    def __len__(self):
        return len(self.sizes)

    def files(self, index):
        return ()

    def read(self, index):
        if index == self.broken:
            self.failure()
        image = np.random.default_rng(index).integers(0, 256, (*self.sizes[index], 3), dtype=np.uint8)
        return RawPair(image, 255 - image, self.names[index])


RGB = PairCodec(ImageCodec("photo", 3), ImageCodec("photo", 3))
FIVE = Noise([(20, 20)] * 5)


def run(pairs, **changes):
    settings = {
        "preprocess": "resize_and_crop",
        "load_size": (18, 18),
        "crop_size": (16, 16),
        "multiple": 8,
        "batch_size": 2,
        "seed": 0,
    } | changes
    augment = Augment(settings["preprocess"], settings["crop_size"], settings.pop("flip", True), settings["seed"])
    return training_batches(pairs, RGB, augment, **settings)


def assert_equal(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        assert one.name == other.name
        assert torch.equal(one.source, other.source)
        assert torch.equal(one.target, other.target)


def raise_image_error():
    raise ImageError("image_3.png: broken")


def test_a_batch_is_a_pair_of_stacked_images():
    batch = next(run(FIVE))
    assert batch.source.shape == batch.target.shape == (2, 3, 16, 16)
    assert batch.source.dtype == torch.float32
    assert batch.source.abs().max() <= 1
    assert torch.allclose(batch.source, -batch.target, atol=0.02)
    assert set(batch.name) < set(FIVE.names)


@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 2**40))
def test_every_epoch_shows_every_pair_once_in_full_batches(count, batch_size, seed):
    steps = [batch_samples(step, batch_size, count, seed) for step in range(2 * count)]
    assert {len(step) for step in steps} == {batch_size}
    run_ = [sample for step in steps for sample in step]
    assert [sample.epoch for sample in run_] == [number // count for number in range(len(run_))]
    for epoch in range(2 * batch_size):
        assert sorted(sample.pair for sample in run_ if sample.epoch == epoch) == list(range(count))


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {tuple(s.pair for s in batch_samples(step, 50, 50, seed)) for step in range(3) for seed in range(3)}
    assert len(orders) == 9


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_run_resumed_at_any_step_sees_the_same_batches(num_workers):
    whole = list(islice(run(FIVE), 7))
    stream = run(FIVE, start_step=3, num_workers=num_workers)
    assert_equal(list(islice(stream, 4)), whole[3:])
    stream.close()


def test_processes_share_the_batch_of_one_in_its_order():
    whole = list(islice(run(FIVE, batch_size=6), 4))
    parts = [list(islice(run(FIVE, batch_size=2, rank=rank, ranks=3), 4)) for rank in range(3)]
    for step, batch in enumerate(whole):
        assert batch.name == [name for part in parts for name in part[step].name]
        assert torch.equal(batch.source, torch.cat([part[step].source for part in parts]))


def test_the_order_goes_on_after_the_pairs_shown_whatever_the_size_of_a_step_now():
    names = [name for batch in islice(run(FIVE, batch_size=1), 20) for name in batch.name]
    for shown, (rank, ranks) in ((6, (0, 1)), (6, (1, 2)), (7, (2, 3))):
        later = list(islice(run(FIVE, start_step=3, shown=shown, rank=rank, ranks=ranks), 2))
        first = shown + rank * 2
        assert later[0].name == names[first : first + 2]
        assert later[1].name == names[first + 2 * ranks : first + 2 * ranks + 2]


def test_global_random_numbers_are_neither_used_nor_drawn():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = next(run(FIVE))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    np.random.default_rng(1)
    assert_equal([next(run(FIVE))], [first])


def test_images_of_any_size_are_padded_by_reflection_to_the_multiple():
    batch = next(run(Noise([(13, 22)]), preprocess="none", batch_size=1, flip=False))
    image = replace(FIVE, sizes=[(13, 22)]).read(0).source
    assert batch.source.shape == batch.target.shape == (1, 3, 16, 24)
    assert np.array_equal(to_array(batch.source[0]), np.pad(image, [(1, 2), (1, 1), (0, 0)], mode="reflect"))


def test_images_of_unequal_size_make_no_batch():
    with pytest.raises(UserError) as caught:
        next(run(Noise([(16, 16), (24, 16)]), preprocess="none", batch_size=2, seed=1))
    message = str(caught.value)
    assert message.startswith("images of one batch differ in size: ")
    assert "image_0 16x16" in message
    assert "image_1 24x16" in message
    assert message.endswith("use --batch_size 1 or a --preprocess with crop")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_bad_image_ends_the_run_with_its_own_line(num_workers):
    with pytest.raises(ImageError) as caught:
        list(islice(run(replace(FIVE, broken=3, failure=raise_image_error), num_workers=num_workers), 5))
    assert str(caught.value) == "image_3.png: broken"
    assert multiprocessing.active_children() == []


def test_a_bug_keeps_its_traceback():
    def fail():
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        list(islice(run(replace(FIVE, broken=3, failure=fail)), 5))


def test_closing_ends_the_workers_and_leaves_the_signals_alone():
    handler = signal.getsignal(signal.SIGCHLD)
    stream = run(FIVE, num_workers=2)
    next(stream)
    assert len(multiprocessing.active_children()) == 2
    assert signal.getsignal(signal.SIGCHLD) is handler
    stream.close()
    assert multiprocessing.active_children() == []


def test_a_worker_that_is_killed_is_reported():
    stream = run(FIVE, num_workers=1)
    next(stream)
    (worker,) = multiprocessing.active_children()
    worker.kill()
    worker.join()
    with pytest.raises(LoaderError, match=r"died.* --num_workers "):
        list(islice(stream, 100))
    assert multiprocessing.active_children() == []


def test_a_worker_that_leaves_is_reported():
    with pytest.raises(LoaderError, match="died"):
        list(islice(run(replace(FIVE, broken=3, failure=lambda: os._exit(1)), num_workers=1), 5))


def die_with_the_lock_of_torchs_event():
    """Exit as a worker that is killed while it looks at the event by which torch tells workers to end."""
    frame = sys._getframe()
    while frame and "done_event" not in frame.f_locals:
        frame = frame.f_back
    if frame:
        frame.f_locals["done_event"]._cond.acquire()
    os._exit(1)


def test_a_worker_that_dies_with_a_lock_is_reported():
    with pytest.raises(LoaderError, match="died"):
        list(islice(run(replace(FIVE, broken=3, failure=die_with_the_lock_of_torchs_event), num_workers=2), 5))


def test_a_worker_that_hangs_is_reported_and_killed():
    stream = run(replace(FIVE, broken=3, failure=lambda: time.sleep(1000)), num_workers=1, loader_timeout=0.3)
    with pytest.raises(LoaderError, match=r"--loader_timeout 0.3 s: .* --dataroot, .* --num_workers 0"):
        list(islice(stream, 5))
    assert multiprocessing.active_children() == []


def test_a_batch_may_take_as_long_as_it_is_given():
    slow = replace(FIVE, broken=3, failure=lambda: time.sleep(1.2))
    stream = run(slow, num_workers=1, loader_timeout=60)
    assert_equal(list(islice(stream, 3)), list(islice(run(FIVE), 3)))
    stream.close()


def test_ctrl_c_leaves_the_workers_to_the_main_process():
    stream = run(FIVE, num_workers=1)
    first = next(stream)
    (worker,) = multiprocessing.active_children()
    os.kill(worker.pid, signal.SIGINT)
    assert_equal([first, *islice(stream, 9)], islice(run(FIVE), 10))
    stream.close()


def test_batches_can_be_drawn_from_another_thread():
    seen = []

    def draw():
        stream = run(FIVE, num_workers=1)
        seen.append(next(stream))
        stream.close()

    thread = threading.Thread(target=draw)
    thread.start()
    thread.join()
    assert_equal(seen, [next(run(FIVE))])


def test_workers_leave_the_processors_to_each_other():
    def count():
        raise ImageError(f"{cv2.getNumThreads()} thread")

    with pytest.raises(ImageError, match=r"^1 thread$"):
        list(islice(run(replace(FIVE, broken=3, failure=count), num_workers=1), 5))


@pytest.mark.slow
def test_workers_that_are_spawned_load_the_same_batches(monkeypatch):
    """As where there is no fork."""
    monkeypatch.setattr("pix2pix.data.loader.sys", SimpleNamespace(platform="darwin"))
    stream = run(FIVE, num_workers=2)
    assert_equal(list(islice(stream, 4)), list(islice(run(FIVE), 4)))
    stream.close()


def test_evaluation_goes_through_all_pairs_in_order_without_jitter():
    pairs = Noise([(16, 16), (30, 16), (16, 16)])
    arguments = {"preprocess": "resize_and_crop", "load_size": (18, 18), "crop_size": (16, 16)}
    seen = list(iterate_pairs(pairs, RGB, **arguments))
    assert [pair.name for pair in seen] == [["image_0"], ["image_1"], ["image_2"]]
    assert {pair.source.shape for pair in seen} == {(1, 3, 16, 16)}
    assert np.array_equal(to_array(seen[0].target[0]), pairs.read(0).target)
    assert len(list(iterate_pairs(pairs, RGB, **arguments, limit=2))) == 2
    shares = [list(iterate_pairs(pairs, RGB, **arguments, rank=rank, ranks=2)) for rank in range(2)]
    assert [[pair.name for pair in share] for share in shares] == [[["image_0"], ["image_2"]], [["image_1"]]]
