import base64
import hashlib
import json
import math
import re
import shutil
import subprocess
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean
from urllib.parse import unquote, urlsplit

import pytest
from PIL import Image

from pix2pix.errors import UserError
from pix2pix.report.gallery import GalleryItem, Summary, write_gallery

HOSTILE = [
    "<img src=x onerror=alert(1)>.png",
    '" onload="alert(1).png',
    "'.png",
    "javascript:alert(1).png",
    "<!--.png",
    "a b.png",
    "-lead.png",
    "100%#?.png",
    "%41.png",
    "$title.png",
    "a&amp;b.png",
    "new\nline.png",
    unicodedata.normalize("NFC", "é.png"),
    unicodedata.normalize("NFD", "é.png"),
    "line\u2028separator.png",
    "\N{HOUSE BUILDING}.png",
]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and the text right after each tag."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.texts = [], [("", "")]
        self.feed(page.read_text(encoding="utf-8") if isinstance(page, Path) else page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.texts.append((tag, ""))

    def handle_endtag(self, tag):
        self.texts.append(("", ""))

    def handle_data(self, data):
        tag, text = self.texts[-1]
        self.texts[-1] = (tag, text + data)

    def attributes(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    def text(self, tag):
        return [text for name, text in self.texts if name == tag]


def item(folder, name="1.png", labels=("source", "output", "target"), **scores):
    images = {label: folder / label / name for label in labels}
    for path in images.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 2)).save(path, format="PNG")
    return GalleryItem(name, images, scores)


def browsed(page, script):
    """Open the page in Chromium inside another file, load all its images, and run the script, a function, there.

    Return what the script makes of the page's document; a word on the console fails the test.
    """
    probe = page.with_name("probe.html")
    probe.write_text(
        f"""<!doctype html><meta charset="utf-8"><iframe src="index.html" width="1300" height="900"></iframe>
        <script>
          onload = async () => {{
            const page = document.querySelector("iframe").contentDocument;
            for (const image of page.querySelectorAll("#items img")) {{
              image.loading = "eager";
              if (!image.complete) await new Promise((done) => (image.onload = image.onerror = done));
            }}
            document.body.dataset.answer = JSON.stringify(await ({script})(page));
          }};
        </script>""",
        encoding="utf-8",
    )
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--allow-file-access-from-files", f"--user-data-dir={page.parent / 'profile'}"),
        *("--virtual-time-budget=8000", "--window-size=1400,1000"),
        *("--enable-logging=stderr", "--dump-dom", probe.as_uri()),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "CONSOLE" not in run.stderr, run.stderr
    (body,) = Page(run.stdout).attributes("body")
    return json.loads(body["data-answer"])


def cells(page, kind):
    """Return the texts between the tags of all table cells of one class."""
    return re.findall(rf'<td class="{kind}"[^>]*>([^<]*)</td>', page.read_text(encoding="utf-8"))


def test_page_shows_every_image_once_in_the_order_given(tmp_path):
    items = [item(tmp_path, "2.png", L1=0.5), item(tmp_path, "1.png", L1=0.25)]
    page = write_gallery(tmp_path, items, title="facades", facts={"step": "2,000"})
    assert page == tmp_path / "index.html"
    shown = [attrs["src"] for attrs in Page(page).attributes("img") if "src" in attrs]
    assert shown == [f"{label}/{name}.png" for name in (2, 1) for label in ("source", "output", "target")]
    assert Page(page).text("h1") == ["facades"]
    assert Page(page).text("dt") + Page(page).text("dd") == ["step", "2,000"]


def test_any_file_name_is_shown_literally_and_its_link_leads_to_the_file(tmp_path):
    page = Page(write_gallery(tmp_path, [item(tmp_path, name) for name in HOSTILE], title="t", facts={}))
    plain = Page(write_gallery(tmp_path, [item(tmp_path, "a.png") for _ in HOSTILE], title="t", facts={}))
    assert page.text("bdi") == HOSTILE
    assert [[tag, *attrs] for tag, attrs in page.elements] == [[tag, *attrs] for tag, attrs in plain.elements]
    links = [attrs["href"] for attrs in page.attributes("a")]
    assert len(links) == 3 * len(HOSTILE)
    for link in links:
        parts = urlsplit(link)
        assert parts == ("", "", link, "", ""), "a relative path and nothing else"
        assert (tmp_path / unquote(parts.path)).is_file()


def test_labels_scores_facts_and_title_are_escaped(tmp_path):
    bad = "</script><b a=\"'&"
    entry = item(tmp_path)._replace(images={bad: tmp_path / "1.png"}, scores={bad: 1.0})
    page = Page(write_gallery(tmp_path, [entry], title=bad, facts={bad: bad}))
    assert [page.text(tag)[0] for tag in ("title", "h1", "dt", "dd")] == [bad] * 4
    assert page.text("th").count(bad) == 3, "image column, score column, mean"
    assert "b" not in {tag for tag, _ in page.elements}
    assert page.attributes("img")[0]["alt"] == f"{bad} of 1.png"


def test_a_name_that_is_not_unicode_keeps_its_bytes_in_the_link(tmp_path):
    entry = GalleryItem("caf\udce9.png", {"output": tmp_path / "caf\udce9.png"}, {})
    page = Page(write_gallery(tmp_path, [entry], title="t", facts={}))
    assert page.attributes("a")[0]["href"] == "caf%E9.png"


def test_a_name_beside_the_page_is_no_scheme(tmp_path):
    entry = GalleryItem("x", {"output": tmp_path / "javascript:alert(1)"}, {})
    page = Page(write_gallery(tmp_path, [entry], title="t", facts={}))
    assert page.attributes("a")[0]["href"] == "javascript%3Aalert%281%29"


def test_images_outside_the_folder_are_linked_by_a_relative_path(tmp_path):
    page = write_gallery(tmp_path / "results" / "x", [item(tmp_path / "data")], title="t", facts={})
    assert Page(page).attributes("a")[0]["href"] == "../../data/source/1.png"


def test_policy_allows_this_script_and_style_and_no_other_and_nothing_is_fetched_from_elsewhere(tmp_path):
    path = write_gallery(tmp_path, [item(tmp_path)], title="t", facts={})
    page = Page(path)
    meta = next(attrs for attrs in page.attributes("meta") if attrs.get("http-equiv") == "Content-Security-Policy")
    policy = dict(rule.split(maxsplit=1) for rule in meta["content"].split(";"))
    for directive, tag in (("script-src", "script"), ("style-src", "style")):
        (text,) = page.text(tag)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert policy[directive] == f"'sha256-{digest}'"
    assert policy["default-src"] == "'none'"
    assert policy["img-src"] == "'self' file:"
    assert not re.search(r"//\w", path.read_text(encoding="utf-8")), "no address of another place"
    names = {name for _, attrs in page.elements for name in attrs}
    assert not {name for name in names if name.startswith("on") or name == "style"}, "the policy would block these"


def test_means_are_of_the_images_that_have_the_score_and_say_how_many(tmp_path):
    l1, psnr = [0.1, 0.25, 0.4], [20.0, 11.5]
    items = [item(tmp_path, L1=l1[0], PSNR=psnr[0]), item(tmp_path, L1=l1[1], PSNR=psnr[1]), item(tmp_path, L1=l1[2])]
    page = write_gallery(tmp_path, items, title="t", facts={})
    means = page.read_text(encoding="utf-8").split('<table id="means">')[1].split("</table>")[0]
    assert re.findall(r"<td>(.*?)</td>", means) == [f"{fmean(l1):.4f}", "3", f"{fmean(psnr):.2f}", "2"]
    assert cells(page, "score") == ["0.1000", "20.00", "0.2500", "11.50", "0.4000", "&ndash;"]


def test_a_summary_stands_in_the_place_of_the_means(tmp_path):
    summary = Summary(("Metric", "Value"), [("L1 <of all>", "0.2"), ("FID", "31")])
    page = write_gallery(tmp_path, [item(tmp_path, L1=0.1)], title="t", facts={}, summary=summary)
    table = page.read_text(encoding="utf-8").split('<table id="means">')[1].split("</table>")[0]
    shown = re.findall(r"<t[hd]\b.*?>(.*?)</t[hd]>", table)
    assert shown == ["Metric", "Value", "L1 &lt;of all&gt;", "0.2", "FID", "31"]


def test_infinite_and_undefined_scores_are_shown_and_sortable(tmp_path):
    items = [item(tmp_path, PSNR=value) for value in (math.inf, math.nan, 20.0)]
    page = write_gallery(tmp_path, items, title="t", facts={})
    assert cells(page, "score") == ["∞", "nan", "20.00"]
    values = [attrs["data-value"] for attrs in Page(page).attributes("td") if "data-value" in attrs]
    assert values == ["Infinity", "NaN", "20.0"], "as JavaScript spells them"


def test_a_first_click_sorts_the_worst_to_the_top(tmp_path):
    scores = {"L1": 0.1, "PSNR": 20.0, "LPIPS (vgg16)": 0.3}
    page = Page(write_gallery(tmp_path, [item(tmp_path, **scores)], title="t", facts={}))
    directions = [attrs["data-sort"] for attrs in page.attributes("th") if "data-sort" in attrs]
    assert directions == ["ascending", "descending", "ascending", "descending"], "name, L1, PSNR, LPIPS"


def test_images_wait_until_they_are_scrolled_to(tmp_path):
    page = Page(write_gallery(tmp_path, [item(tmp_path)], title="t", facts={}))
    assert all(attrs["loading"] == "lazy" for attrs in page.attributes("img") if "src" in attrs)


def test_rows_may_lack_images_that_others_have(tmp_path):
    items = [item(tmp_path, labels=("source", "output 1", "output 2")), item(tmp_path, labels=("source",))]
    page = Page(write_gallery(tmp_path, items, title="t", facts={}))
    assert [attrs.get("data-label") for attrs in page.attributes("td")] == [
        *("source", "output 1", "output 2"),
        *("source", None, None),
    ]


def test_a_preview_has_the_real_file_beneath_it(tmp_path):
    files = {"output": tmp_path / "output" / "a #1.tiff", "target": tmp_path / "target" / "a.npy"}
    page = Page(write_gallery(tmp_path, [item(tmp_path)._replace(files=files)], title="t", facts={}))
    links = [attrs for attrs in page.attributes("a") if attrs.get("class") == "file"]
    assert [attrs["href"] for attrs in links] == ["output/a%20%231.tiff", "target/a.npy"]
    assert [attrs["aria-label"] for attrs in links] == ["TIFF: output of 1.png", "NPY: target of 1.png"]
    shown = [attrs["src"] for attrs in page.attributes("img") if "src" in attrs]
    assert shown == ["source/1.png", "output/1.png", "target/1.png"], "the browser shows the previews"
    assert [text for text in page.text("a") if text] == ["TIFF", "NPY"]


def test_a_suffix_is_escaped_like_a_name(tmp_path):
    entry = item(tmp_path)._replace(files={"output": tmp_path / "a.<b>\"'&"})
    page = Page(write_gallery(tmp_path, [entry], title="t", facts={}))
    assert "<B>\"'&" in page.text("a")
    assert "b" not in {tag for tag, _ in page.elements}


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_any_number_of_items_makes_a_page(tmp_path, count):
    page = Page(write_gallery(tmp_path, [item(tmp_path, L1=0.1)] * count, title="t", facts={}))
    assert page.text("bdi") == ["1.png"] * count
    assert page.text("output") == [f"{count} images"]


def test_page_that_cannot_be_written_leaves_the_old_one_and_no_litter(tmp_path, monkeypatch):
    page = write_gallery(tmp_path, [], title="old", facts={})
    before = page.read_bytes()

    def full(path, content):
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"index\.html .*No space left on device"):
        write_gallery(tmp_path, [], title="new", facts={})
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    assert page.read_bytes() == before


def test_folder_that_is_a_file_is_refused_by_name(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*results/index\.html"):
        write_gallery(tmp_path / "results", [], title="t", facts={})


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_chromium_opens_the_slider_from_a_link_loads_the_images_and_runs_nothing_else(tmp_path):
    name = "<img src=x onerror=document.title=1> \" onload=' %41#?é.png"
    page = write_gallery(tmp_path, [item(tmp_path, "a.png"), item(tmp_path, name, L1=0.5)], title="t", facts={})
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
        *("--disable-component-update", f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2000"),
        *("--enable-logging=stderr", "--dump-dom", f"{page.as_uri()}#compare=2"),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "CONSOLE" not in run.stderr
    assert re.search(r'<dialog id="viewer"[^>]* open=""', run.stdout)
    assert '<span id="left-label">output, 3 \N{MULTIPLICATION SIGN} 2</span>' in run.stdout, (
        "the size is known once the image is loaded"
    )
    assert '<span id="right-label">target</span>' in run.stdout
    assert "&lt;img src=x onerror=document.title=1&gt;" in run.stdout
    assert "<title>t</title>" in run.stdout


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_chromium_leaves_links_to_real_files_alone_and_zooms_into_previews(tmp_path):
    entry = item(tmp_path)._replace(files={"output": tmp_path / "output" / "1.tiff"})
    page = write_gallery(tmp_path, [entry], title="t", facts={})
    clicks = browsed(
        page,
        """(page) => [...page.querySelectorAll("#items a")].map((link) => {
            let taken;
            link.addEventListener("click", (event) => { taken = event.defaultPrevented; event.preventDefault(); });
            link.click();
            return [link.getAttribute("href"), taken];
        })""",
    )
    assert clicks == [["source/1.png", True], ["output/1.png", True], ["output/1.tiff", False], ["target/1.png", True]]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_chromium_wraps_long_names_rather_than_widen_the_page(tmp_path):
    page = write_gallery(tmp_path, [item(tmp_path, f"{'n' * 245}.png", L1=0.5, SSIM=0.5)], title="t", facts={})
    fits = """(page) => {
        page.defaultView.frameElement.width = 1160;
        return page.documentElement.scrollWidth <= page.documentElement.clientWidth;
    }"""
    assert browsed(page, fits)
