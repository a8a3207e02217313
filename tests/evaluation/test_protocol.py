import json
import os

import pytest

from pix2pix.data.codec import ImageCodec, PairCodec, rgb_codec
from pix2pix.errors import UserError
from pix2pix.evaluation.protocol import TranslationInfo, read_translation, write_metrics, write_translation

CODEC = PairCodec(rgb_codec("uint16"), ImageCodec("labels", 3, palette=((0, 0, 0), (1, 2, 3))))


def test_metrics_are_written_whole_with_sorted_keys_and_any_name(tmp_path):
    path = write_metrics(tmp_path / "new", {"b": 1.5, "a": {"\udcff\n": None}})
    assert path == tmp_path / "new" / "metrics.json"
    assert json.loads(path.read_text()) == {"a": {"\udcff\n": None}, "b": 1.5, "format": 1}
    assert [line[:4] for line in path.read_text().splitlines() if line[:2] == ' "'] == [' "a"', ' "b"', ' "fo']


def test_metrics_that_cannot_be_written_leave_the_old_ones_and_no_litter(tmp_path, monkeypatch):
    write_metrics(tmp_path, {"a": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(UserError) as caught:
        write_metrics(tmp_path, {"a": 2})
    path = tmp_path / "metrics.json"
    assert str(path) in str(caught.value)
    assert os.listdir(tmp_path) == ["metrics.json"]
    assert json.loads(path.read_text())["a"] == 1


def test_a_folder_says_who_made_it_and_what_its_files_hold(tmp_path):
    assert read_translation(tmp_path) is None
    translation = TranslationInfo({"name": "run", "step": 4}, CODEC)
    write_translation(tmp_path, translation)
    assert read_translation(tmp_path) == translation


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"codec": {}}', b"\xff", b'{"codec": {"source": 1}}'])
def test_what_was_altered_is_refused(tmp_path, content):
    (tmp_path / "translation.json").write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_translation(tmp_path)
    path = tmp_path / "translation.json"
    assert str(path) in str(caught.value)
