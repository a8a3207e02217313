import io
import json
import re

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from pix2pix.data.io import read_image
from pix2pix.training.logging import ConsoleLogger, RunLogger


class Terminal(io.StringIO):
    def isatty(self):
        return True


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def run(folder, steps, start=0, terminal=None):
    """Log the loss 1/step at each of the steps."""
    logger = RunLogger(folder, start, 100, terminal or io.StringIO())
    for step in steps:
        logger.step(step)
        logger.scalars(step, {"loss/G": 1 / step, "lr": 2e-4, "images_per_second": 3.0})
    logger.close()


def events(folder):
    accumulator = EventAccumulator(str(folder / "tb"))
    accumulator.Reload()
    return accumulator


def test_scalars_become_one_line_of_json_each(tmp_path):
    logger = RunLogger(tmp_path, start=0, total_steps=10, terminal=io.StringIO())
    logger.scalars(1, {"loss/G": 0.5, "lr": 2e-4})
    logger.scalars(2, {"val/l1": 0.25})
    logger.close()
    assert lines(tmp_path) == [{"step": 1, "loss/G": 0.5, "lr": 2e-4}, {"step": 2, "val/l1": 0.25}]


def test_a_line_is_on_the_disk_at_once(tmp_path):
    logger = RunLogger(tmp_path, 0, 10, io.StringIO())
    logger.scalars(1, {"loss/G": 0.5})
    assert len(lines(tmp_path)) == 1
    logger.close()


def test_a_resumed_run_drops_the_lines_that_it_will_make_again(tmp_path):
    run(tmp_path, range(1, 6))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "loss/')  # killed while writing
    run(tmp_path, [4, 5], start=3)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 4, 5]


def test_a_half_written_line_goes_even_if_its_step_stays(tmp_path):
    run(tmp_path, [1, 2])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "loss/G": 0.1}')  # no line break: it may be cut short within a number
    run(tmp_path, [4], start=3)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 4]


@pytest.mark.parametrize("line", [b"\0\0\0\n", b'{"loss/G": 1}\n', b"[3]\n", b"\xff\n"])
def test_a_garbled_line_goes(tmp_path, line):
    run(tmp_path, [1, 2])
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(line)
    run(tmp_path, [4], start=3)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 4]


def test_a_run_begun_again_forgets_all_lines(tmp_path):
    run(tmp_path, [1, 2])
    run(tmp_path, [1])
    assert [line["step"] for line in lines(tmp_path)] == [1]
    assert not list(tmp_path.glob(".*"))


def test_tensorboard_reads_the_scalars_back(tmp_path):
    run(tmp_path, [1, 2, 4])
    scalars = events(tmp_path).Scalars("loss/G")
    assert [(scalar.step, scalar.value) for scalar in scalars] == [(1, 1), (2, 0.5), (4, 0.25)]


def test_tensorboard_forgets_the_steps_that_a_resumed_run_makes_again(tmp_path):
    run(tmp_path, [1, 2, 3, 4])
    (file,) = (tmp_path / "tb").iterdir()
    file.rename(re.sub(r"tfevents\.\d+", "tfevents.1000000000", str(file)))  # files are read in order of their seconds
    run(tmp_path, [3], start=2)
    assert [scalar.step for scalar in events(tmp_path).Scalars("loss/G")] == [1, 2, 3]


def test_tensorboard_shows_a_grid_of_pictures(tmp_path):
    def plain(value, channels, height, width):
        return torch.full((channels, height, width), value)

    rows = [[plain(-1.0, 3, 4, 4), plain(1.0, 1, 4, 4)], [plain(0.0, 4, 6, 2), plain(7.0, 3, 6, 2)]]
    logger = RunLogger(tmp_path, 0, 10, io.StringIO())
    logger.images(5, {"val/source | output": rows})
    logger.close()
    (picture,) = events(tmp_path).Images("val/source | output")
    assert (picture.step, picture.height, picture.width) == (5, 10, 8)
    (tmp_path / "grid.png").write_bytes(picture.encoded_image_string)
    array = read_image(tmp_path / "grid.png")
    assert array.shape == (10, 8, 3)
    assert [set(part.flatten().tolist()) for part in (array[:4, :4], array[:4, 4:])] == [{0}, {255}]
    parts = (array[4:, :2], array[4:, 2:4], array[4:, 4:])
    assert [set(part.flatten().tolist()) for part in parts] == [{127}, {255}, {0}]  # clipped; the rest of the row black


def test_tensorboard_shows_the_options_as_hparams(tmp_path):
    logger = RunLogger(tmp_path, 0, 10, io.StringIO())
    logger.hparams({"lr": 2e-4, "gan_mode": "vanilla"}, ["val/l1"])
    logger.close()
    content = events(tmp_path).summary_metadata["_hparams_/session_start_info"].plugin_data.content
    hparams = HParamsPluginData.FromString(content).session_start_info.hparams
    assert hparams["lr"].number_value == 2e-4
    assert hparams["gan_mode"].string_value == "vanilla"
    assert len(list((tmp_path / "tb").iterdir())) == 1  # no second run beside this one


def test_where_there_is_no_terminal_lines_are_plain(tmp_path):
    output = io.StringIO()
    run(tmp_path, [50], terminal=output)
    assert re.fullmatch(r"step 50/100  G 0\.020  \d+ s left\n", output.getvalue())


def test_a_long_run_tells_the_minutes_left(tmp_path, monkeypatch):
    output = io.StringIO()
    monkeypatch.setattr("pix2pix.training.logging.time.monotonic", iter([0.0, 300.0]).__next__)
    run(tmp_path, [25], terminal=output)
    assert output.getvalue().endswith("  15 min left\n")


def test_a_terminal_has_a_bar_with_the_losses_and_sentences_above_it(tmp_path):
    terminal = Terminal()
    logger = RunLogger(tmp_path, 0, 2, terminal)
    logger.info("norm: batch")
    for step in (1, 2):
        logger.step(step)
        logger.scalars(step, {"loss/G_l1": 0.125, "lr": 2e-4})
    logger.scalars(2, {"val/l1": 0.5})
    logger.close()
    assert "norm: batch\n" in terminal.getvalue()
    assert "step 2/2  val/l1 0.500\n" in terminal.getvalue()
    last = terminal.getvalue().rpartition("\r")[2]
    assert "100%" in last
    assert "2/2" in last
    assert "G_l1 0.125" in last


def test_a_resumed_bar_starts_where_the_run_was(tmp_path):
    terminal = Terminal()
    run(tmp_path, [51], start=50, terminal=terminal)
    assert "50/100" in terminal.getvalue()
    assert "51/100" in terminal.getvalue()


@pytest.mark.parametrize("terminal", [io.StringIO, Terminal])
def test_the_log_keeps_sentences_and_losses_with_their_time(tmp_path, terminal):
    logger = RunLogger(tmp_path, 0, 10, terminal())
    logger.info("device cpu")
    logger.scalars(1, {"loss/G": 0.5})
    logger.close()
    first, second = (tmp_path / "train.log").read_text().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  device cpu", first)
    assert re.fullmatch(r".{19}  step 1(/10)?  G 0\.500", second)


def test_by_default_the_terminal_is_standard_error(tmp_path, capsys):
    logger = RunLogger(tmp_path, 0, 10)
    logger.info("hello")
    logger.close()
    ConsoleLogger().info("world")
    assert capsys.readouterr() == ("", "hello\nworld\n")


def test_a_dry_monitor_tells_the_terminal_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = io.StringIO()
    logger = ConsoleLogger(output)
    logger.step(1)
    logger.scalars(1, {"loss/G": 0.5, "lr": 0.0002})
    logger.images(1, {"val": [[torch.zeros(3, 4, 4)]]})
    logger.info("done")
    assert output.getvalue() == "step 1  loss/G 0.5  lr 0.0002\ndone\n"
    assert list(tmp_path.iterdir()) == []
