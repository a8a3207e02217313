import re

import pytest

from pix2pix.data.generated.plan import PALETTE
from pix2pix.data.labels import PALETTES, Palette, infer_palette, load_palette
from pix2pix.errors import UserError


def test_a_palette_is_known_by_its_name():
    palette = load_palette("cityscapes")
    assert (palette.names[0], palette.colors[0]) == ("road", (128, 64, 128))


def test_a_palette_is_read_from_lines_of_a_file(tmp_path):
    path = tmp_path / "my colours.txt"
    path.write_text(
        "\ufeff# classes\n0 0 0\n\n255,128,0,traffic light\n 1\t2\t3\tCafé, bar  # the third\r\n4, 5, 6\n", "utf-8"
    )
    colours = ((0, 0, 0), (255, 128, 0), (1, 2, 3), (4, 5, 6))
    assert load_palette(str(path)) == Palette(("0", "traffic light", "Café, bar", "3"), colours)


@pytest.mark.parametrize(("name", "count"), [("facades", 12), ("cityscapes", 29), ("camvid", 32)])
def test_known_palettes_have_as_many_distinct_colors_as_their_data_sets(name, count):
    names, colours, ignored = PALETTES[name]
    assert len(set(names)) == len(names) == len(set(colours)) == len(colours) == count
    assert all(len(colour) == 3 and 0 <= min(colour) <= max(colour) <= 255 for colour in colours)
    assert set(ignored) < set(names)


def test_the_first_of_cityscapes_are_its_classes_of_training():
    names = PALETTES["cityscapes"].names
    assert (names[10], names[18], names[19]) == ("sky", "bicycle", "unlabeled")
    assert PALETTES["cityscapes"].ignored == names[19:]


def test_the_other_sets_ignore_what_is_of_no_class_alone():
    assert (PALETTES["facades"].ignored, PALETTES["camvid"].ignored) == ((), ("Void",))


def test_colors_of_a_known_palette_have_its_names_and_others_numbers():
    facades, cityscapes = PALETTES["facades"], PALETTES["cityscapes"]
    assert infer_palette(facades.colors) == facades
    some = infer_palette([(111, 74, 0), (70, 130, 180)])
    assert some == Palette(("dynamic", "sky"), ((111, 74, 0), (70, 130, 180)), ("dynamic",))
    assert infer_palette([*cityscapes.colors, (1, 2, 3)]).names == tuple(map(str, range(30)))
    assert infer_palette([(3,), (7,)]) == Palette(("0", "1"), ((3,), (7,)))


def test_camvid_is_in_its_alphabetical_order():
    names = PALETTES["camvid"].names
    assert list(names) == sorted(names, key=str.lower)


def test_generated_facades_are_drawn_in_the_colors_of_facades():
    assert dict(zip(PALETTES["facades"].names, PALETTES["facades"].colors, strict=True)) == PALETTE


def test_as_many_colors_as_a_byte_can_number_are_read(tmp_path):
    (tmp_path / "p.txt").write_text("".join(f"{n} {n} {n}\n" for n in range(256)))
    assert len(load_palette(str(tmp_path / "p.txt")).colors) == 256


def refusal(path):
    with pytest.raises(UserError) as caught:
        load_palette(str(path))
    message = str(caught.value)
    assert message.isprintable()
    return message.removeprefix(f"palette {str(path)!r}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"0 0 0\n\n1 2\n", "line 3.*'1 2'.*`R G B name`"),
        (b"road 1 2 3\n0 0 0", "line 1.*'road 1 2 3'.*`R G B name`"),
        (b"1.5 2 3\n0 0 0", r"line 1.*'1\.5 2 3'.*`R G B name`"),
        (b"1 2 3road", "line 1.*'1 2 3road'.*`R G B name`"),
        (b"9" * 5000, rf"line 1.*'{'9' * 57}\.\.\.'.*`R G B name`"),
        (b"0 0 0\n0 256 0 x", "line 2.*'0 256 0 x'.*0 to 255"),
        (b"0 0 0\n0 -1 0 x", "line 2.*'0 -1 0 x'.*0 to 255"),
        (b"0 0 0 a\n1 1 1\n0,0,0 b", "line 3.*'0,0,0 b'"),
        (b"# nothing\n", " 0 .*2 to 256"),
        (b"0 0 0\n", " 1 .*2 to 256"),
        (
            b"".join(b"%d %d 0\n" % (n % 256, n // 256) for n in range(257)),
            "257.*2 to 256",
        ),
        (b"#" * 1_000_001, "1 MB"),
        (b"\xff\xd8\xff", "UTF-8"),
    ],
)
def test_a_mistake_in_a_file_is_named_by_its_line(tmp_path, content, message):
    (tmp_path / "p.txt").write_bytes(content)
    assert re.search(message, refusal(tmp_path / "p.txt"))


def test_what_is_neither_a_palette_nor_a_file_is_answered_with_the_palettes(tmp_path):
    for path in ("cityscape", tmp_path, "a\0b", "a\nb", ""):
        assert "facades, cityscapes, camvid" in refusal(path)


def test_a_file_that_cannot_be_read_is_refused_with_the_cause(tmp_path):
    assert "File name too long" in refusal(tmp_path / ("x" * 300))
