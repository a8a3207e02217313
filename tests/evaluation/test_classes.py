import re

import numpy as np
import pytest
import torch

from pix2pix.data.labels import PALETTES, Palette, infer_palette
from pix2pix.errors import UserError
from pix2pix.evaluation.segmentation import exclude_classes

THREE = Palette(("red", "green", "void"), ((255, 0, 0), (0, 255, 0), (0, 0, 0)), ignored=("void",))


def image(*colours):
    return np.array([colours], np.uint8)


def test_a_pixel_of_the_truth_is_of_the_nearest_class_that_is_counted():
    classes = exclude_classes(THREE, ())
    assert classes.names == ["red", "green"]
    assert classes.ignored == ("void",)
    seen = classes.truth(image((250, 9, 3), (0, 255, 0), (5, 5, 5), (255, 255, 255)))
    assert seen.tolist() == [[0, 1, -1, -1]]  # void is left out, and white is far from every colour


def test_a_translated_pixel_is_always_of_some_class():
    classes = exclude_classes(THREE, ())
    assert classes.decoded(image((250, 9, 3), (255, 200, 0), (0, 0, 0))).tolist() == [[0, 0, 2]]
    assert classes.decoded(image((200, 255, 0))).tolist() == [[1]]


def test_files_of_class_numbers_hold_places_in_the_palette():
    classes = exclude_classes(THREE, ())
    numbers = np.array([[[0], [1], [2], [3]]], np.uint8)
    assert classes.truth(numbers).tolist() == [[0, 1, -1, -1]]
    assert classes.decoded(numbers).tolist() == [[0, 1, 2, 2]]


def test_what_a_segmenter_sees_is_renumbered_without_the_classes_left_out():
    classes = exclude_classes(THREE, ("red",))
    assert classes.names == ["green"]
    assert classes.seen(torch.tensor([[0, 1, 2, 3, -1]])).tolist() == [[1, 0, 1, 1, 1]]


def test_alpha_is_passed_over():
    classes = exclude_classes(THREE, ())
    assert classes.truth(image((255, 0, 0, 0), (0, 255, 0, 255))).tolist() == [[0, 1]]


def test_an_unknown_class_or_none_left_is_refused():
    with pytest.raises(UserError) as caught:
        exclude_classes(THREE, ("gren",))
    assert re.search("--ignore.*'gren'.*green", str(caught.value))
    with pytest.raises(UserError) as caught:
        exclude_classes(THREE, ("sky",))
    assert re.search("--ignore.*'sky'.*red, green, void", str(caught.value))
    with pytest.raises(UserError) as caught:
        exclude_classes(THREE, ("red", "green"))
    assert re.search("--ignore", str(caught.value))


def test_colors_of_a_known_palette_have_its_names_in_their_own_order():
    known = PALETTES["cityscapes"]
    colours = [known.colors[place] for place in (19, 3, 0)]
    assert infer_palette(colours) == Palette(("unlabeled", "wall", "road"), tuple(colours), ("unlabeled",))
    assert infer_palette([(1, 2, 3), (0, 0, 0)]) == Palette(("0", "1"), ((1, 2, 3), (0, 0, 0)))


def test_classes_of_one_name_are_distinguished_by_their_colors():
    palette = Palette(("void", "car", "void"), ((0, 0, 0), (255, 0, 0), (255, 255, 255)))
    assert exclude_classes(palette, ()).names == ["void (0, 0, 0)", "car", "void (255, 255, 255)"]
    assert exclude_classes(palette, ("void",)).names == ["car"]
