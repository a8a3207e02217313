import dataclasses
import os
import re
import unicodedata
from urllib.parse import unquote_to_bytes, urlsplit

import numpy as np
import pytest

from pix2pix.data.io import read_image
from tests.report.test_gallery import CHROMIUM, Page, browsed

NAMES = (
    "plain",
    "two  spaces",
    " spaces around ",
    "it's",
    'say "so"',
    "#1",
    "50%",
    "%41%2e%2e",
    "why?x=1",
    "a&b&amp;c",
    "a<b>c",
    "<img src=x onerror=alert(1)>",
    '" onload="alert(1)',
    "' onerror='alert(1)",
    "javascript:alert(1)",
    "<!-- ]]> {{x}} ${x} $title",
    "-lead",
    "--name",
    "back\\slash",
    "C:\\x",
    "~",
    "a.b",
    "ends in a dot.",
    "new\nline",
    "tab\tand\x1b[31mred",
    "\N{HOUSE BUILDING}\N{WAVING HAND SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-4}",
    "\u202eright to left",
    "line\u2028separator",
    "\u00e9t\u00e9 \u00c5",
    "long " + "x" * 195,
    "\u5bb6" * 66,
    "not unicode \udce9\udcff",
    "folder & <b>/#1",
)


def side_by_side(tiny, phase, name, number):
    tiny.write_pair(tiny.data / phase / f"{name}.png", number)


def two_folders(tiny, phase, name, number):
    tiny.write_pair(tiny.data / f"{phase}A" / f"{name}.png", number)
    tiny.write_pair(tiny.data / f"{phase}B" / f"{name}.png", number)


def displayed(name):
    """A byte that is no UTF-8 has no character; browsers put the replacement character in its place."""
    return re.sub("[\udc80-\udcff]", "\N{REPLACEMENT CHARACTER}", name)


def page_of_pairs(tiny, tmp_path, layout, form):
    """Train and test on pairs of all names in one form of Unicode; return the page."""
    tiny = dataclasses.replace(tiny, data=tmp_path / "data")
    for phase in ("train", "val", "test"):
        for number, name in enumerate(NAMES):
            layout(tiny, phase, unicodedata.normalize(form, name), number)
    assert tiny.train("run", "--steps", 2) == 0
    assert tiny.test("run", "--preprocess", "none") == 0
    return tiny.results() / "index.html"


def rows(page):
    """Return the elements of each row of the table with their attributes."""
    found = []
    for tag, attrs in Page(page).elements:
        if tag == "dialog":
            return found
        if attrs.get("id", "").startswith("item-"):
            found.append([])
        if found:
            found[-1].append((tag, attrs))


def files_of(page):
    """Return, for each row, the files to which its addresses lead: that of the first link first."""
    found = []
    for row in rows(page):
        urls = [attrs[key] for _, attrs in row for key in ("src", "href") if key in attrs]
        assert all(urlsplit(url) == ("", "", url, "", "") for url in urls), "relative paths and nothing else"
        found.append([page.parent / os.fsdecode(unquote_to_bytes(url)) for url in urls])
    return found


def assert_literal(page, names):
    assert sorted(Page(page).text("bdi")) == sorted(map(displayed, names)), "letter for letter"
    shapes = {tuple((tag, *attrs) for tag, attrs in row) for row in rows(page)}
    assert len(shapes) == 1, "no name adds an element or an attribute to its row"


@pytest.mark.parametrize(("layout", "form"), [(side_by_side, "NFD"), (two_folders, "NFC")])
def test_a_pair_of_any_name_reaches_the_page_with_its_own_images(tiny, tmp_path, layout, form):
    page = page_of_pairs(tiny, tmp_path, layout, form)
    assert_literal(page, NAMES)
    numbers = {displayed(name): number for number, name in enumerate(NAMES)}
    for name, files in zip(Page(page).text("bdi"), files_of(page), strict=True):
        assert len(files) == 6
        assert all(file.is_file() for file in files)
        tiny.write_pair(tmp_path / "pair.png", numbers[name])
        source, pair = read_image(files[0]), read_image(tmp_path / "pair.png")
        assert np.array_equal(source, pair[:, : source.shape[1]]), "the left half, or all in a folder A"


def test_an_image_of_any_name_alone_reaches_the_page(tiny, tmp_path):
    assert tiny.train("run", "--steps", 1) == 0
    names = {*NAMES, *(unicodedata.normalize("NFD", name) for name in NAMES)}
    assert len(names) == len(NAMES) + 1, "of two files that differ by their form alone both are translated"
    for number, name in enumerate(names):
        tiny.write_pair(tmp_path / "photos" / f"{name}.png", number)
    assert tiny.test("run", "--input", tmp_path / "photos") == 0
    page = tiny.results("run", "input_latest") / "index.html"
    assert_literal(page, names)
    assert len(set(map(tuple, files_of(page)))) == len(names)
    assert all(file.is_file() for files in files_of(page) for file in files)


@pytest.mark.parametrize("layout", [side_by_side, two_folders])
def test_one_name_in_two_forms_of_unicode_is_refused_with_both(tiny, tmp_path, error, layout):
    tiny = dataclasses.replace(tiny, data=tmp_path / "data")
    both = [unicodedata.normalize(form, "\u00e9t\u00e9") for form in ("NFC", "NFD")]
    for phase in ("train", "val"):
        for number, name in enumerate(both):
            layout(tiny, phase, name, number)
    message = error(2, tiny.train)
    assert "the same name" in message
    assert all(ascii(f"/{name}.png")[1:-1] in message for name in both)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_chromium_loads_every_image_and_shows_every_name_on_the_page_and_enlarged(tiny, tmp_path):
    page = page_of_pairs(tiny, tmp_path, side_by_side, "NFC")
    seen = browsed(
        page,
        """async (page) => {
            const left = page.getElementById("left"), enlarged = [];
            for (const link of page.querySelectorAll("#items td:nth-child(2) a")) {
                const loaded = new Promise((done) => {
                    for (const event of ["load", "error"]) left.addEventListener(event, done, { once: true });
                });
                link.click();
                await loaded;
                enlarged.push([page.getElementById("caption").textContent, left.naturalWidth]);
            }
            const images = [...page.querySelectorAll("#items img")];
            const names = [...page.querySelectorAll("#items bdi")];
            return {
                title: page.title,
                names: names.map((name) => name.textContent),
                widths: images.map((image) => image.naturalWidth),
                enlarged,
            };
        }""",
    )
    assert seen["title"] == "run: test_latest"
    assert seen["names"] == Page(page).text("bdi")
    assert seen["widths"] == [20] * (3 * len(NAMES))
    assert seen["enlarged"] == [[name, 20] for name in seen["names"]]
