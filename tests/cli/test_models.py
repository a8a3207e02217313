import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import pix2pix
from pix2pix.cli import main
from pix2pix.data.codec import rgb_to_tensor
from pix2pix.data.io import write_image
from pix2pix.networks.transformer_net import convert_pytorch_example


def imported(file, folder, name="run"):
    return main(["import", str(file), "--name", name, "--checkpoints_dir", str(folder)])


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_an_imported_network_paints_as_it_did(tmp_path, capsys, transformer_net, kind):
    state = transformer_net(ngf=4, blocks=2)
    state["deconv3.conv2d.weight"] *= 10
    state["deconv3.conv2d.bias"] += 128
    file = tmp_path / f"weights.{kind}"
    # as old releases of the examples wrote it, with averages that an instance norm does not use
    old = {"in1.running_mean": torch.zeros(4), "in1.running_var": torch.ones(4)}
    torch.save(state | old, file) if kind == "pth" else save_file(state, file)
    assert imported(file, tmp_path / "runs") == 0
    assert "python test.py --name run --checkpoints_dir" in capsys.readouterr().out
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = (convert_pytorch_example(state)(rgb_to_tensor(image)[None])[0].permute(1, 2, 0) + 1) * 127.5
    translator = pix2pix.load(tmp_path / "runs" / "run", device="cpu")
    output = translator.translate(image)
    assert np.abs(output - expected.clamp(0, 255).numpy()).max() < 0.51
    assert (translator.step, translator.styles) == (0, ["run"])
    assert expected.std() > 5


def test_a_run_that_is_imported_is_tested_by_its_name(tmp_path, transformer_net):
    save_file(transformer_net(ngf=4, blocks=2), tmp_path / "a.safetensors")
    assert imported(tmp_path / "a.safetensors", tmp_path / "runs") == 0
    write_image(tmp_path / "photo.png", np.zeros((20, 30, 3), np.uint8))
    places = ("--checkpoints_dir", tmp_path / "runs", "--results_dir", tmp_path / "results")
    assert main(["test", "--name", "run", "--content", *map(str, (tmp_path / "photo.png", *places))]) == 0
    assert (tmp_path / "results" / "run" / "input_latest" / "output" / "photo_run.png").is_file()


def test_what_cannot_be_imported_is_reported_in_one_line(tmp_path, error, transformer_net):
    save_file(transformer_net(ngf=4, blocks=2), tmp_path / "good.safetensors")
    save_file({"conv1.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    (tmp_path / "text.pth").write_text("text")
    runs = tmp_path / "runs"
    line = error(2, imported, tmp_path / "nowhere.pth", runs)
    assert re.search(rf"--file {tmp_path}/nowhere\.pth", line)
    line = error(2, imported, tmp_path / "other.safetensors", runs)
    assert re.search(rf"--file {tmp_path}/other\.safetensors.*TransformerNet.*PyTorch", line)
    line = error(2, imported, tmp_path / "text.pth", runs)
    assert re.search(rf"--file {tmp_path}/text\.pth.*damaged", line)
    assert not runs.exists()
    assert error(2, main, ["import", str(tmp_path / "good.safetensors")]).startswith("--name is missing: ")
    assert re.search("--file.*missing", error(2, main, ["import", "--name", "run"]))
    assert imported(tmp_path / "good.safetensors", runs) == 0
    line = error(2, imported, tmp_path / "good.safetensors", runs)
    assert re.search(f"{runs}/run .*--name", line)
    (tmp_path / "file").write_text("")
    line = error(2, imported, tmp_path / "good.safetensors", tmp_path / "file")
    assert re.search(f"{tmp_path}/file/run", line)
