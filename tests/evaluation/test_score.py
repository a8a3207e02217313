import re
from pathlib import Path

import numpy as np
import pytest

from pix2pix.data.io import write_image
from pix2pix.errors import UserError
from pix2pix.evaluation.score import Folders, TranslationFiles, check_sizes, find_folders, find_translations


def fill(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, np.zeros((4, 4, 3), np.uint8))
    return folder


def said(call, *arguments):
    with pytest.raises(UserError) as caught:
        call(*arguments)
    return str(caught.value)


def test_partners_have_equal_names_whatever_their_format_in_natural_order(tmp_path):
    outputs = fill(tmp_path / "a", "10.png", "2.png", "street/1.png")
    truths = fill(tmp_path / "b", "2.jpg", "10.tif", "street/1.webp")
    found = find_translations(Folders(outputs, truths, None))
    assert [picture.name for picture in found] == ["2", "10", "street/1"]
    assert found[0] == TranslationFiles("2", outputs / "2.png", truths / "2.jpg", None)
    with_labels = find_translations(Folders(outputs, truths, outputs))
    assert with_labels[1].labels == outputs / "10.png"


def test_results_by_test_py_tell_where_everything_is(tmp_path):
    for part in ("output", "target", "source"):
        fill(tmp_path / part, "1.png")
    assert find_folders(tmp_path, None, None) == Folders(*(tmp_path / part for part in ("output", "target", "source")))
    other = fill(tmp_path / "elsewhere", "1.png")
    assert find_folders(tmp_path, other, other) == Folders(tmp_path / "output", other, other)


def test_other_results_need_a_truth(tmp_path):
    results = fill(tmp_path / "a", "1.png")
    assert find_folders(results, results, None) == Folders(results, results, None)
    assert re.search(f"--results {results}.*`output`.*--truth", said(find_folders, results, None, None))


def test_of_several_samples_one_has_to_be_chosen(tmp_path):
    for sample in (1, 2):
        fill(tmp_path / f"output_{sample}", "1.png")
    assert re.search(
        f"--results {tmp_path}.*`output`.*--results {tmp_path / 'output_1'}", said(find_folders, tmp_path, None, None)
    )


def test_folders_that_are_not_there_are_named(tmp_path):
    results, nothing = fill(tmp_path / "a", "1.png"), tmp_path / "b"
    assert re.search(f"--results {nothing}", said(find_folders, nothing, None, None))
    assert re.search(f"--truth {nothing}", said(find_folders, results, nothing, None))
    assert re.search(f"--labels {nothing}", said(find_folders, results, results, nothing))
    fill(tmp_path / "c" / "output", "1.png")
    assert re.search(f"--results {tmp_path / 'c'}.*--truth", said(find_folders, tmp_path / "c", None, None))


@pytest.mark.parametrize(("more", "others"), [([], ""), (["3.png", "4.png"], " (and 2 more)")])
def test_an_image_without_a_partner_is_named(tmp_path, more, others):
    whole, less = fill(tmp_path / "a", "1.png", "2.png", *more), fill(tmp_path / "b", "1.png")
    alone = f"2{others} of {whole} has no partner in {less}; equal names are needed"
    assert said(find_translations, Folders(whole, less, None)) == alone
    assert said(find_translations, Folders(less, whole, None)) == alone
    assert said(find_translations, Folders(whole, whole, less)) == alone


def test_two_files_of_one_name_and_an_empty_folder_are_refused(tmp_path):
    twice, empty = fill(tmp_path / "a", "1.png", "1.jpg"), tmp_path / "b"
    empty.mkdir()
    assert re.search(f"{twice / '1.jpg'}.*{twice / '1.png'}", said(find_translations, Folders(twice, twice, None)))
    assert re.search(f"{empty}.*no images", said(find_translations, Folders(empty, empty, None)))


def test_partners_of_other_sizes_are_refused():
    picture = TranslationFiles("1", Path("a/1.png"), Path("b/1.png"), None)
    check_sizes(picture, [(4, 6), (4, 6)])
    assert re.search(r"a/1\.png.*4x6.*4x5", said(check_sizes, picture, [(4, 6), (4, 5)]))
