import cv2
import numpy as np
import pytest

from pix2pix.data.generated import SMALLEST, generate
from pix2pix.data.generated.paint import DRAW_FUNCTIONS, clouds, masonry
from pix2pix.data.generated.photo import render
from pix2pix.data.generated.plan import PALETTE, Part, Plan, draw_plan, paint_labels, part_mask
from pix2pix.errors import UserError


def is_kind(labels, kind):
    return (labels == PALETTE[kind]).all(axis=-1)


def test_a_pair_is_a_photo_and_its_label_map():
    photo, labels = generate(seed=0, index=3, size=(96, 128))
    assert photo.shape == labels.shape == (96, 128, 3)
    assert photo.dtype == labels.dtype == np.uint8
    assert 0 < is_kind(labels, "window").mean() < 0.5


def test_a_pair_depends_on_seed_and_index_alone_in_any_order():
    first = [generate(7, index, (48, 48)) for index in range(4)]
    again = [generate(7, index, (48, 48)) for index in reversed(range(4))][::-1]
    for (photo, labels), (photo_again, labels_again) in zip(first, again, strict=True):
        np.testing.assert_array_equal(photo, photo_again)
        np.testing.assert_array_equal(labels, labels_again)


def test_seeds_and_indices_give_different_houses():
    houses = {generate(seed, index, (32, 32))[1].tobytes() for seed in range(4) for index in range(10)}
    assert len(houses) == 40


def test_label_maps_have_palette_colors_only_and_all_of_them_occur():
    seen = set()
    for index in range(50):
        labels = paint_labels(draw_plan(np.random.default_rng(index), 1.0, 1.0), (96, 96))
        seen |= set(map(tuple, labels.reshape(-1, 3).tolist()))
    assert seen == set(PALETTE.values())


@pytest.mark.parametrize("size", [(16, 16), (16, 130), (130, 16), (47, 61), (200, 100)])
@pytest.mark.parametrize("index", range(4))
def test_any_size_from_16_pixels_works(size, index):
    photo, labels = generate(0, index, size)
    assert photo.shape == labels.shape == (*size, 3)
    assert photo.std() > 5


def test_twice_the_size_is_the_same_house_in_the_same_light():
    agreement, difference = [], []
    for index in range(6):
        photo, labels = generate(0, index, (96, 128))
        large_photo, large_labels = generate(0, index, (192, 256))
        inside = cv2.erode(labels, np.ones((3, 3))) == cv2.dilate(labels, np.ones((3, 3)))  # not beside an edge
        agreement.append((large_labels[::2, ::2] == labels)[inside].mean())
        small = large_photo.astype(float).reshape(96, 2, 128, 2, 3).mean(axis=(1, 3))
        difference.append(np.abs(small - photo).mean())
    assert min(agreement) > 0.99
    assert max(difference) < 12


def test_a_wider_picture_has_more_bays_not_wider_ones():
    def windows(width):
        return np.mean(
            [sum(p.kind == "window" for p in draw_plan(np.random.default_rng(i), 1, width).parts) for i in range(20)]
        )

    assert windows(3.0) == pytest.approx(3 * windows(1.0), rel=0.3)


def test_the_label_map_does_not_determine_the_photo():
    photo, labels = generate(0, 0, (64, 64))
    other, same = generate(0, 0, (64, 64), rendering=1)
    np.testing.assert_array_equal(labels, same)
    assert np.abs(photo.astype(int) - other).mean() > 10


def test_every_part_of_a_plan_has_a_painter_and_a_color():
    plans = [draw_plan(np.random.default_rng(index), 1.0, 1.0) for index in range(60)]
    parts = {(part.kind, part.detail) for plan in plans for part in plan.parts}
    assert parts == set(DRAW_FUNCTIONS)
    assert {kind for kind, _ in parts} | {"background"} == set(PALETTE)


def test_windows_stand_out_from_the_wall_and_are_darker_on_average():
    contrasts = []
    for index in range(12):
        photo, labels = generate(1, index, (96, 96))
        wall, window = (photo[is_kind(labels, kind)].mean(axis=0) for kind in ("facade", "window"))
        contrasts.append(wall - window)
    assert np.linalg.norm(contrasts, axis=1).min() > 20
    assert np.mean(contrasts) > 15


def test_edges_of_the_photo_lie_on_edges_of_the_label_map():
    def step_at_label_edges(shift):
        steps = []
        for index in range(8):
            photo, labels = generate(2, index, (128, 128))
            labels = np.roll(labels, shift, axis=1)
            edges = (labels[:, 1:] != labels[:, :-1]).any(axis=-1)
            steps.append(np.abs(np.diff(photo.mean(axis=-1), axis=1))[edges].mean())
        return np.mean(steps)

    aligned = step_at_label_edges(0)
    assert all(aligned > 1.5 * step_at_label_edges(shift) for shift in (-3, 3))


def test_a_balcony_throws_its_shadow_down():
    facade = Part("facade", 0, 0, 1, 1)
    balcony = Part("balcony", 0.3, 0.4, 0.7, 0.55)
    above, below = [], []
    for look in range(12):
        photo = render(Plan(1, 1, 1, (facade, balcony)), (100, 100), np.random.default_rng(look)).astype(float)
        above.append(photo[32:37, 40:60].mean())
        below.append(photo[57:62, 40:60].mean())
    assert np.mean(below) < np.mean(above) - 5


def test_outlines_have_the_area_of_their_shape():
    def share(shape):
        return part_mask(Part("window", 0, 0, 1, 1, shape), 200, 200).mean()

    assert share("rectangle") == 1
    assert share("gable") == pytest.approx(0.5, abs=0.01)
    assert share("hip") == pytest.approx(0.88, abs=0.01)
    assert share("arch") == pytest.approx(1 - 0.3 * (1 - np.pi / 4), abs=0.01)


def test_masonry_has_mortar_in_proportion_and_one_tone_a_block():
    tone, joints = masonry(np.random.default_rng(0), (200, 400), course=10, length=20, joint=2)
    assert joints.mean() == pytest.approx(1 - (1 - 2 / 10) * (1 - 2 / 20))
    assert np.abs(tone).max() <= 1
    assert (tone[0:10, 0:10] == tone[0, 0]).all()


def test_clouds_are_smooth_and_have_no_bias():
    noise = clouds(np.random.default_rng(0), (200, 200), (20, 20))
    assert abs(noise.mean()) < 0.05
    assert np.abs(np.diff(noise, axis=0)).max() < 0.4 < np.ptp(noise)


def test_too_small_a_picture_is_refused():
    with pytest.raises(UserError, match=f"15x32 were asked for; choose at least {SMALLEST} pixels"):
        generate(0, 0, (15, 32))


@pytest.mark.parametrize(("seed", "index", "rendering"), [(-1, 0, 0), (0, -1, 0), (0, 0, -1)])
def test_negative_numbers_are_refused(seed, index, rendering):
    with pytest.raises(UserError, match=f"seed {seed}, index {index}, rendering {rendering}; choose whole numbers"):
        generate(seed, index, (32, 32), rendering=rendering)
