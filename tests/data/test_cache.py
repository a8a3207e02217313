import errno
import multiprocessing
import os
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
import pytest
import torch

from pix2pix.config.augmentation import Transform
from pix2pix.data.batch import RawPair
from pix2pix.data.cache import GpuCache, PairCache, count_pair_bytes, get_formats
from pix2pix.data.codec import ImageCodec, PairCodec
from pix2pix.data.loader import training_batches
from pix2pix.data.transforms import Augment
from pix2pix.errors import ImageError

RGB = PairCodec(ImageCodec("photo", 3), ImageCodec("photo", 3))
LABELS = PairCodec(
    ImageCodec("labels", 4, palette=((0, 0, 0), (255, 0, 9))), ImageCodec("photo", 3, low=(5, 0, 9), high=(99, 255, 9))
)
DEEP = PairCodec(ImageCodec("photo", 1, "uint16", high=(65535,)), ImageCodec("photo", 2, "float32"))


def noise(index, codec, size=(20, 22)):
    draw = np.random.default_rng(index)
    images = [draw.integers(0, 256, (*size, one.channels)).astype(one.dtype) for one in codec]
    return RawPair(*images, f"image_{index}")


@dataclass(frozen=True)
class Noise:
    """Seven random pairs that count how often each was read."""

    codec: PairCodec = RGB
    sizes: tuple[tuple[int, int], ...] = ((20, 22),) * 7
    reads: list[int] = field(default_factory=list)
    layout: str = "noise"
    bad: int = -1

    @property
    def names(self):
        return [f"image_{index}" for index in range(7)]

    def __len__(self):
        return 7

    def files(self, index):
        return ()

    def read(self, index):
        if index == self.bad:
            raise ImageError("image_3.png: broken")
        self.reads.append(index)
        return noise(index, self.codec, self.sizes[index])


def room_for(count, codec=RGB, folder=None, capacity=None):
    raw = noise(0, codec, (18, 19))
    return PairCache(count, count * count_pair_bytes(raw) if capacity is None else capacity, get_formats(raw), folder)


def run(pairs, cache=None, transforms=(), **changes):
    settings = {
        "preprocess": "resize_and_crop",
        "load_size": (18, 19),
        "crop_size": (16, 15),
        "multiple": 8,
        "batch_size": 3,
        "seed": 0,
    } | changes
    augment = Augment(settings["preprocess"], settings["crop_size"], True, 0, pairs.codec, transforms)
    return training_batches(pairs, pairs.codec, augment, cache=cache, **settings)


def assert_equal(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        assert one.name == other.name
        assert torch.equal(one.source, other.source)
        assert torch.equal(one.target, other.target)


def take(count, *arguments, **changes):
    stream = run(*arguments, **changes)
    batches = list(islice(stream, count))
    stream.close()
    return batches


@pytest.mark.parametrize("codec", [RGB, LABELS, DEEP])
def test_what_is_put_into_the_cache_is_found_there(codec, tmp_path):
    for folder in (None, tmp_path):
        cache = room_for(3, codec, folder)
        raws = [noise(index, codec, (18, 19)) for index in range(3)]
        cache.put(1, raws[1])
        assert cache.get(0) is None
        cache.put(0, raws[0])
        for index in (0, 1):
            source, target = cache.get(index)
            assert np.array_equal(source, raws[index].source)
            assert np.array_equal(target, raws[index].target)
            assert (source.dtype, target.dtype) == (raws[index].source.dtype, raws[index].target.dtype)
            assert not source.flags.writeable


def test_pairs_of_any_size_are_kept_while_they_fit():
    sizes = [(3, 5), (40, 40), (7, 2), (1, 1)]
    raws = [noise(index, RGB, size) for index, size in enumerate(sizes)]
    cache = PairCache(4, count_pair_bytes(raws[0]) + count_pair_bytes(raws[2]), get_formats(raws[0]))
    for _ in range(2):
        for index, raw in enumerate(raws):
            cache.put(index, raw)
    assert [cache.get(index) is not None for index in range(4)] == [True, False, True, False]
    assert np.array_equal(cache.get(2)[1], raws[2].target)


def test_an_image_that_changed_between_two_reads_does_no_harm(monkeypatch):
    cache = room_for(2)
    monkeypatch.setattr(os, "pwrite", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        cache.put(0, noise(0, RGB, (18, 19)))
    monkeypatch.undo()
    cache.put(0, noise(0, RGB, (30, 19)))
    assert cache.get(0) is None
    cache.put(0, noise(0, DEEP, (18, 19)))
    assert cache.get(0) is None
    cache.put(0, noise(0, RGB, (18, 19)))
    assert cache.get(0) is not None


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("place", ["memory", "disk", "too small"])
def test_a_cache_changes_no_batch(place, num_workers, tmp_path):
    cache = room_for(7, folder=tmp_path if place == "disk" else None, capacity=5000 if place == "too small" else None)
    plain = take(8, Noise())
    assert_equal(take(8, Noise(), cache, num_workers=num_workers), plain)
    assert_equal(take(5, Noise(), cache, start_step=3, num_workers=num_workers), plain[3:])
    assert (cache.get(0) is not None) == (cache.get(6) is not None) == (place != "too small")


@pytest.mark.parametrize("codec", [LABELS, DEEP, PairCodec(ImageCodec("lightness", 3), ImageCodec("chroma", 3))])
def test_it_changes_none_of_any_kind(codec):
    assert_equal(take(6, Noise(codec), room_for(7, codec)), take(6, Noise(codec)))


@pytest.mark.parametrize("preprocess", ["none", "crop", "scale_width", "scale_width_and_crop"])
def test_nor_of_any_preprocess(preprocess):
    pairs = Noise(sizes=((20, 22), (21, 16), (33, 17), (20, 22), (28, 30), (16, 16), (29, 21)))
    changes = {"preprocess": preprocess, "batch_size": 1}
    cache = room_for(7, capacity=10**6)
    assert_equal(take(16, pairs, cache, **changes), take(16, replace(pairs, reads=[]), **changes))
    assert sorted(pairs.reads) == list(range(7))


def test_each_pair_is_read_once():
    pairs = Noise()
    take(20, pairs, room_for(7))
    assert sorted(pairs.reads) == list(range(7))


def test_transforms_leave_what_is_kept_as_it_is():
    steps = (Transform(name="RandomBrightnessContrast", arguments={}), Transform(name="Rotate", arguments={}))
    assert_equal(take(8, Noise(), room_for(7), transforms=steps), take(8, Noise(), transforms=steps))


def test_an_image_that_is_bad_when_first_read_ends_the_run_with_its_own_line():
    with pytest.raises(ImageError) as caught:
        take(5, Noise(bad=3), room_for(7))
    assert str(caught.value) == "image_3.png: broken"


def test_a_folder_shows_no_file_even_while_the_cache_lies_there(tmp_path):
    cache = room_for(7, folder=tmp_path)
    cache.put(0, noise(0, RGB, (18, 19)))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_reported_once_and_training_goes_on(monkeypatch, tmp_path):
    cache, plain, messages = room_for(7, folder=tmp_path), take(8, Noise()), []
    write, calls = os.pwrite, []

    def fill(*arguments):
        calls.append(arguments)
        if len(calls) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*arguments)

    monkeypatch.setattr(os, "pwrite", fill)
    assert_equal(take(8, Noise(), cache, say=messages.append), plain)
    assert messages == ["cache: the disk is full, so further pairs are read each time"]
    assert len(calls) == 6


def test_writes_that_stop_half_way_go_on(monkeypatch):
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: write(file, data[:100], offset))
    cache, raw = room_for(1), noise(0, RGB, (18, 19))
    cache.put(0, raw)
    assert np.array_equal(cache.get(0)[1], raw.target)


def test_a_process_that_died_with_the_lock_stops_nobody():
    cache = room_for(7)
    assert cache._lock.acquire()
    assert_equal(take(8, Noise(), cache), take(8, Noise()))
    assert cache.get(0) is None


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_processes_share_it(method, tmp_path, monkeypatch):
    context, raw = multiprocessing.get_context(method), noise(1, RGB, (18, 19))
    monkeypatch.setattr(multiprocessing, "Lock", context.Lock)
    for folder in (None, tmp_path):
        cache = room_for(2, folder=folder)
        child = context.Process(target=cache.put, args=(1, raw))
        child.start()
        child.join()
        assert child.exitcode == 0
        assert np.array_equal(cache.get(1)[0], raw.source)


def test_what_is_gone_leaves_no_open_file():
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    cache = room_for(7)
    cache.put(1, noise(1, RGB, (18, 19)))
    del cache
    assert before == [] or os.listdir("/proc/self/fd") == before


def on_device(codec, device="cpu"):
    return GpuCache(7, noise(0, codec, (18, 19)), codec, torch.device(device))


@pytest.mark.parametrize("codec", [RGB, LABELS])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_device_makes_the_same_batches(codec, num_workers):
    plain, cache = take(9, Noise(codec)), on_device(codec)
    assert_equal(take(9, Noise(codec), cache, num_workers=num_workers), plain)
    assert cache.is_full
    pairs = Noise(codec)
    assert_equal(take(4, pairs, cache, start_step=5), plain[5:])
    assert pairs.reads == []


def test_a_device_reads_pairs_until_all_are_there_also_in_the_middle_of_an_epoch():
    pairs = Noise()
    assert_equal(take(8, pairs, on_device(RGB), start_step=1), take(9, Noise())[1:])
    assert sorted(pairs.reads) == [*range(7), 6], "one stands twice in a batch"


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_device_of_one_of_several_processes_is_sent_each_pair_once_although_it_meets_them_late(num_workers):
    share = {"rank": 1, "ranks": 2, "batch_size": 1}
    pairs, cache = Noise(), on_device(RGB)
    assert_equal(take(25, pairs, cache, num_workers=num_workers, **share), take(25, Noise(), **share))
    assert cache.is_full
    assert num_workers or sorted(pairs.reads) == list(range(7))


def test_a_bad_image_on_its_way_to_a_device_ends_the_run_with_its_own_line():
    with pytest.raises(ImageError) as caught:
        take(5, Noise(bad=3), on_device(RGB))
    assert str(caught.value) == "image_3.png: broken"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_makes_the_same_batches():
    made = take(9, Noise(), on_device(RGB, "cuda"))
    assert made[-1].source.is_cuda
    assert_equal([type(one)(one.source.cpu(), one.target.cpu(), one.name) for one in made], take(9, Noise()))
    pinned = take(2, Noise(), pinned=True)
    assert pinned[0].source.is_pinned()
    assert_equal(pinned, take(2, Noise()))
