import numpy as np
import pytest

from pix2pix.data.io import write_image
from pix2pix.data.layouts import list_candidate_folders, list_pairs
from pix2pix.errors import UserError

GREY = np.full((4, 6, 1), 7, np.uint8)


def save(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(root / name, GREY)


@pytest.mark.parametrize(("one", "other"), [("trainA", "trainB"), ("train/A", "train/B"), ("A/train", "B/train")])
def test_a_side_without_the_other_is_reported(tmp_path, one, other):
    save(tmp_path, f"{one}/1.png")
    with pytest.raises(UserError) as caught:
        list_pairs(tmp_path, "train", photos=False)
    assert str(caught.value) == (
        f"{tmp_path}/{one} has no partner folder {tmp_path}/{other}: put the other side of its images there"
    )
    assert list_pairs(tmp_path, "test", photos=False) is None
    save(tmp_path, f"{other}/1.png")
    listing = list_pairs(tmp_path, "train", photos=False)
    assert listing.folders == (tmp_path / one, tmp_path / other)
    assert set(listing.folders) < set(list_candidate_folders(tmp_path, "train"))


def test_folders_of_equal_names_are_named_in_one_line(tmp_path):
    save(tmp_path, "train/in\nput/1.png", "train/target/1.png")
    with pytest.raises(UserError) as caught:
        list_pairs(tmp_path, "train", photos=False)
    assert str(caught.value) == (
        f"{tmp_path}/train has 'in\\nput/' and target/ with images of equal names: call them A/ and B/ if they are "
        "partners, or put A|B images side by side into one folder"
    )


def test_hidden_files_and_those_of_file_managers_are_no_partners(tmp_path):
    save(tmp_path, "trainA/1.png", "trainB/1.png", "trainB/.hidden.png", "trainA/.trash/2.png")
    (tmp_path / "trainA" / "Thumbs.db").touch()
    listing = list_pairs(tmp_path, "train", photos=False)
    assert (listing.pairs.names, listing.faults) == (("1",), ())


def test_links_that_form_a_loop_are_passed_over(tmp_path):
    save(tmp_path, "train/1.png")
    (tmp_path / "train" / "again").symlink_to(tmp_path / "train")
    (tmp_path / "train" / "up").symlink_to("..")
    assert list_pairs(tmp_path, "train", photos=False).pairs.names == ("1",)


def test_a_phase_may_be_a_link(tmp_path):
    save(tmp_path, "elsewhere/1.png")
    (tmp_path / "train").symlink_to("elsewhere")
    assert list_pairs(tmp_path, "train", photos=False).pairs.names == ("1",)
