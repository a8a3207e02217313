import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import save_file

import pix2pix
from pix2pix.cli import main


def transformer_net(ngf=4, blocks=2):
    """A state dict as the PyTorch examples' TransformerNet has it, with random weights."""
    generator = torch.Generator().manual_seed(0)
    state = {}

    def add(name, inputs, outputs, kernel):
        state[f"{name}.conv2d.weight"] = torch.randn(outputs, inputs, kernel, kernel, generator=generator) / 8
        state[f"{name}.conv2d.bias"] = torch.randn(outputs, generator=generator)

    def norm(name, channels):
        state[f"{name}.weight"] = torch.rand(channels, generator=generator)
        state[f"{name}.bias"] = torch.randn(channels, generator=generator)

    widths = [3, ngf, 2 * ngf, 4 * ngf]
    for number in (1, 2, 3):
        add(f"conv{number}", widths[number - 1], widths[number], 9 if number == 1 else 3)
        norm(f"in{number}", widths[number])
    for block in range(1, blocks + 1):
        for number in (1, 2):
            add(f"res{block}.conv{number}", 4 * ngf, 4 * ngf, 3)
            norm(f"res{block}.in{number}", 4 * ngf)
    for number, width in ((1, 2 * ngf), (2, ngf), (3, 3)):
        add(f"deconv{number}", (2 * width if number < 3 else ngf), width, 3 if number < 3 else 9)
        if number < 3:
            norm(f"in{3 + number}", width)
    state["deconv3.conv2d.bias"] += 128
    state["deconv3.conv2d.weight"] *= 8
    return state


def painted(state, image, blocks=2):
    """What TransformerNet makes of (N, 3, H, W) from 0 to 255."""

    def layer(x, name, norm, stride=1, doubled=False):
        weight = state[f"{name}.conv2d.weight"]
        x = F.interpolate(x, scale_factor=2, mode="nearest") if doubled else x
        x = F.pad(x, (weight.shape[-1] // 2,) * 4, mode="reflect")
        x = F.conv2d(x, weight, state[f"{name}.conv2d.bias"], stride)
        return x if norm is None else F.instance_norm(x, weight=state[f"{norm}.weight"], bias=state[f"{norm}.bias"])

    x = image
    for number, stride in ((1, 1), (2, 2), (3, 2)):
        x = layer(x, f"conv{number}", f"in{number}", stride).relu()
    for block in range(1, blocks + 1):
        inner = layer(x, f"res{block}.conv1", f"res{block}.in1").relu()
        x = x + layer(inner, f"res{block}.conv2", f"res{block}.in2")
    for number in (1, 2):
        x = layer(x, f"deconv{number}", f"in{3 + number}", doubled=True).relu()
    return layer(x, "deconv3", None)


def imported(file, folder, name="run"):
    return main(["import", str(file), "--name", name, "--checkpoints_dir", str(folder)])


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_an_imported_network_paints_as_it_did(tmp_path, capsys, kind):
    state = transformer_net()
    file = tmp_path / f"weights.{kind}"
    # as old releases of the examples wrote it, with averages that an instance norm does not use
    old = {"in1.running_mean": torch.zeros(4), "in1.running_var": torch.ones(4)}
    torch.save(state | old, file) if kind == "pth" else save_file(state, file)
    assert imported(file, tmp_path / "runs") == 0
    assert "python test.py --name run --checkpoints_dir" in capsys.readouterr().out
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = painted(state, torch.from_numpy(image).permute(2, 0, 1)[None].float())[0].permute(1, 2, 0)
    translator = pix2pix.load(tmp_path / "runs" / "run", device="cpu")
    output = translator.translate(image)
    assert np.abs(output - expected.clamp(0, 255).numpy()).max() < 0.51
    assert (translator.step, translator.styles) == (0, ["run"])
    assert expected.std() > 5


def test_half_precision_is_read_as_single(tmp_path):
    save_file({name: x.half() for name, x in transformer_net().items()}, tmp_path / "half.safetensors")
    assert imported(tmp_path / "half.safetensors", tmp_path / "runs") == 0
    state = pix2pix.load(tmp_path / "runs" / "run", device="cpu").method.generator.state_dict()
    assert {x.dtype for x in state.values()} == {torch.float32}


def test_a_run_that_is_imported_is_tested_by_its_name(tmp_path):
    save_file(transformer_net(), tmp_path / "a.safetensors")
    assert imported(tmp_path / "a.safetensors", tmp_path / "runs") == 0
    from pix2pix.images import write

    write(tmp_path / "photo.png", np.zeros((20, 30, 3), np.uint8))
    places = ("--checkpoints_dir", tmp_path / "runs", "--results_dir", tmp_path / "results")
    assert main(["test", "--name", "run", "--content", *map(str, (tmp_path / "photo.png", *places))]) == 0
    assert (tmp_path / "results" / "run" / "input_latest" / "output" / "photo_run.png").is_file()


def test_what_cannot_be_imported_is_told_in_one_line(tmp_path, error):
    state = transformer_net()
    save_file(state, tmp_path / "good.safetensors")
    save_file({"conv1.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    (tmp_path / "text.pth").write_text("text")
    runs = tmp_path / "runs"
    line = error(2, imported, tmp_path / "nowhere.pth", runs)
    assert line == (
        f"--file {tmp_path}/nowhere.pth: it cannot be read (No such file or directory); "
        "give a .safetensors or .pth file"
    )
    line = error(2, imported, tmp_path / "other.safetensors", runs)
    assert line.startswith(f"--file {tmp_path}/other.safetensors: no TransformerNet of the PyTorch examples: ")
    line = error(2, imported, tmp_path / "text.pth", runs)
    assert line.startswith(f"--file {tmp_path}/text.pth: it is damaged, or no safetensors file or state dict")
    assert not runs.exists()
    assert error(2, main, ["import", str(tmp_path / "good.safetensors")]).startswith("--name is missing: ")
    assert error(2, main, ["import", "--name", "run"]).startswith("--file is missing: its weights: ")
    assert imported(tmp_path / "good.safetensors", runs) == 0
    line = error(2, imported, tmp_path / "good.safetensors", runs)
    assert line == f"{runs}/run holds a run already; choose another --name"
    (tmp_path / "file").write_text("")
    line = error(2, imported, tmp_path / "good.safetensors", tmp_path / "file")
    assert line == f"the run cannot be written to {tmp_path}/file/run: Not a directory"
