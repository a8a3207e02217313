import errno
from collections import namedtuple

import numpy as np
import pytest
import torch

from pix2pix.config.pix2pix import DataOptions
from pix2pix.data import cache as caching
from pix2pix.data.batch import RawPair
from pix2pix.data.cache import GpuCache, PairCache, open_cache
from pix2pix.data.codec import ImageCodec, PairCodec

RGB = PairCodec(ImageCodec("photo", 3), ImageCodec("photo", 3))
IMAGE = np.zeros((512, 512, 3), np.uint8)  # two of them are 1.5 MiB
PAIR = RawPair(IMAGE, IMAGE, "a")
CPU = torch.device("cpu")


def choose(folder=None, codec=RGB, device=CPU, **options):
    return open_cache(DataOptions(dataroot="d", **options), 400, PAIR, codec, device, folder)


def test_pairs_that_fit_lie_in_memory():
    caching_ = choose()
    assert isinstance(caching_.cache, PairCache)
    assert caching_.said == "400 pairs in 0.59 GiB of memory"


def test_others_of_one_size_lie_on_disk(tmp_path):
    caching_ = choose(tmp_path, cache_gb=0.5)
    assert isinstance(caching_.cache, PairCache)
    assert caching_.said == "400 pairs in 0.59 GiB of disk, until the training ends"
    assert choose(tmp_path, cache="disk").said == caching_.said
    assert choose(cache="disk").said == caching_.said


@pytest.mark.parametrize("options", [{"preprocess": "none"}, {"cache": "ram", "cache_gb": 0.5}])
def test_what_may_exceed_the_budget_is_kept_up_to_it(options):
    caching_ = choose(**options)
    assert isinstance(caching_.cache, PairCache)
    assert caching_.said == f"as many of 400 pairs as fit in {options.get('cache_gb', 2)} GiB of memory"


def test_off_keeps_nothing():
    assert choose(cache="off") == (None, "off")


def test_a_disk_is_never_filled_to_its_half(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(2**30))
    cache, said = choose(tmp_path, cache="disk")
    assert cache is None
    assert said == f"off, as 400 pairs in 0.59 GiB take more than half of the 1 GiB free in {tmp_path}"


def test_a_file_that_cannot_be_made_is_done_without(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EFBIG, "File too large")

    monkeypatch.setattr("os.ftruncate", refuse)
    cache, said = choose(tmp_path, cache="disk")
    assert cache is None
    assert said == ("off, as the system refuses 400 pairs in 0.59 GiB of disk, until the training ends: File too large")


def test_where_processes_cannot_share_a_cache_only_one_process_has_it(monkeypatch):
    monkeypatch.setattr(caching, "can_share_cache", lambda: False)
    cache, said = choose()
    assert cache is None
    assert "--num_workers 0" in said
    assert isinstance(choose(num_workers=0).cache, PairCache)


def test_a_gpu_with_room_keeps_all_unless_something_is_left_to_the_host(monkeypatch):
    monkeypatch.setattr(caching, "_fits_on", lambda device, needed: True)
    cache, said = choose()
    assert isinstance(cache, GpuCache)
    assert said == "400 pairs in 0.59 GiB of the GPU's memory"
    deep = PairCodec(ImageCodec("photo", 3), ImageCodec("photo", 3, "uint16"))
    for changes in ({"augment": ["Transpose"]}, {"cache": "ram"}, {"preprocess": "crop"}, {"codec": deep}):
        assert isinstance(choose(**changes).cache, PairCache)


def test_a_gpu_gives_a_quarter_of_what_is_free(monkeypatch):
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (4000, 9000))
    assert caching._fits_on(torch.device("cuda"), 1000)
    assert not caching._fits_on(torch.device("cuda"), 1001)
    assert not caching._fits_on(CPU, 1)


def test_processes_share_that_half(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(2**31))
    assert choose(tmp_path, cache="disk").cache is not None
    monkeypatch.setattr("pix2pix.distributed.world_size", lambda: 2)
    cache, said = choose(tmp_path, cache="disk")
    assert cache is None
    assert said == (
        f"off, as 400 pairs in 0.59 GiB for each of 2 processes take more than half of the 2 GiB free in {tmp_path}"
    )


def test_a_budget_that_no_machine_has_is_refused_by_the_options_or_by_the_system():
    assert choose(preprocess="none", cache_gb=10**6).said.startswith("off, as the system refuses as many of 400 pairs ")
    with pytest.raises(ValueError, match="less than or equal to 1000000"):
        choose(preprocess="none", cache_gb=1e300)
