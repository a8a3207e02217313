import io

import numpy as np
import pytest
from PIL import Image

from pix2pix.data.io import estimate_jpeg_quality


def photo(mode="RGB"):
    noise = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("quality", [20, 50, 75, 90, 95])
def test_the_quality_is_what_the_file_was_saved_at(tmp_path, quality, mode):
    photo(mode).save(tmp_path / "1.jpg", quality=quality, progressive=quality == 75)
    assert estimate_jpeg_quality(tmp_path / "1.jpg") == pytest.approx(quality, abs=0.6)


@pytest.mark.parametrize(("quality", "about"), [(1, 8), (5, 8), (100, 99)])
def test_at_the_ends_where_tables_are_clipped_it_is_near(tmp_path, quality, about):
    photo().save(tmp_path / "1.jpg", quality=quality)
    assert estimate_jpeg_quality(tmp_path / "1.jpg") == pytest.approx(about, abs=7)
    assert 1 <= estimate_jpeg_quality(tmp_path / "1.jpg") <= 100


def test_the_tables_and_not_the_picture_or_its_size_decide(tmp_path):
    Image.new("RGB", (20000, 20000 // 4), "white").save(tmp_path / "large.jpg", quality=80)
    photo().save(tmp_path / "small.jpg", quality=80)
    assert estimate_jpeg_quality(tmp_path / "large.jpg") == estimate_jpeg_quality(tmp_path / "small.jpg")


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_other_files_have_none_whatever_their_suffix(tmp_path, kind):
    photo().save(tmp_path / "1.jpg", kind)
    assert estimate_jpeg_quality(tmp_path / "1.jpg") is None


def test_no_file_has_none(tmp_path):
    (tmp_path / "empty.jpg").touch()
    for path in (tmp_path / "missing.jpg", tmp_path, tmp_path / "empty.jpg"):
        assert estimate_jpeg_quality(path) is None


def test_wherever_a_file_is_cut_off_there_is_a_quality_or_none(tmp_path):
    buffer = io.BytesIO()
    photo().save(buffer, "JPEG", quality=75)
    content, said = buffer.getvalue(), set()
    for length in range(0, len(content), 3):
        (tmp_path / "1.jpg").write_bytes(content[:length])
        quality = estimate_jpeg_quality(tmp_path / "1.jpg")
        said.add(quality and round(quality))
    assert said == {None, 75}
