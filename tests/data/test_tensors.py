import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from pix2pix.data.arrays import pad_to_multiple, resize_to_height, to_array, to_tensor


def noise(height, width, channels, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_all_256_values_survive_as_tensors():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    tensor = to_tensor(values)
    assert tensor.shape == (1, 16, 16)
    assert (tensor.min(), tensor.max()) == (-1, 1)
    assert np.array_equal(to_array(tensor), values)


def test_tensors_become_rounded_and_clipped_bytes():
    grey = torch.tensor([-1.5, -1, -1 + 1.4 / 127.5, -1 + 1.6 / 127.5, 1, 7]).reshape(1, 2, 3)
    assert to_array(grey).ravel().tolist() == [0, 0, 1, 2, 255, 255]


def test_tensors_are_copies_even_of_mirrored_and_locked_arrays():
    image = noise(3, 4, 1)
    image.setflags(write=False)
    tensor = to_tensor(image[:, ::-1])
    tensor += 0.5
    assert np.array_equal(to_array(tensor.flip(-1) - 0.5), image)


def test_padding_mirrors_without_repeating_the_edge():
    row = torch.arange(3.0).reshape(1, 1, 1, 3)
    padded, (_, columns) = pad_to_multiple(row, 8)
    assert padded[0, 0, 0].tolist() == [2, 1, 0, 1, 2, 1, 0, 1]
    assert padded[0, 0, :, 0].tolist() == [2] * 8
    assert columns == slice(2, 5)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 32))
def test_padding_is_that_of_numpy_and_the_slices_undo_it(height, width, multiple):
    image = torch.arange(2.0 * height * width).reshape(1, 2, height, width)
    padded, (rows, columns) = pad_to_multiple(image, multiple)
    around = [(part.start, length - part.stop) for part, length in zip((rows, columns), padded.shape[-2:], strict=True)]
    assert all(0 <= after - before <= 1 and before + after < multiple for before, after in around)
    assert padded.shape[-2] % multiple == padded.shape[-1] % multiple == 0
    assert torch.equal(padded[..., rows, columns], image)
    assert np.array_equal(padded[0].numpy(), np.pad(image[0].numpy(), [(0, 0), *around], mode="reflect"))


def test_what_fits_is_not_copied():
    image = torch.zeros(1, 3, 16, 32)
    padded, inside = pad_to_multiple(image, 16)
    assert padded is image
    assert inside == (slice(0, 16), slice(0, 32))


def test_an_image_of_a_height_keeps_its_proportions_and_plain_colors():
    tensor = torch.tensor([-0.5, 0, 1]).reshape(1, 3, 1, 1).expand(1, 3, 10, 21)
    for height, width in ((5, 10), (20, 42), (1, 2)):
        assert torch.allclose(
            resize_to_height(tensor, height), tensor[..., :1, :1].expand(1, 3, height, width), atol=1e-6
        )
    assert resize_to_height(tensor[..., :1], 1).shape == (1, 3, 1, 1)
