"""Flags of junyanz/pytorch-CycleGAN-and-pix2pix, and presets that were removed or renamed.

Each flag is translated to our options, or refused naming its replacement. A flag that requests what happens anyway is
accepted and changes nothing. Renamed options of our own are in renames.py.
"""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from pix2pix.config import renames
from pix2pix.config.base import OptionError, escape_line
from pix2pix.config.yaml import load_yaml

_LOG = logging.getLogger(__name__)

Texts = Mapping[str, str]  # the text of each flag


class LegacyFlag(NamedTuple):
    """A flag: a description of its replacement (`here`), and `read`, which translates its text to our options.

    `read` also gets the texts of all flags, because some depend on others. It raises ValueError to refuse.
    """

    here: str
    read: Callable[[str, Texts], Texts]
    takes_no_value: bool = False


def _rename(option: str) -> LegacyFlag:
    return LegacyFlag(f"`--{option}`", lambda text, _: {option: text})


def _switch(here: str, **options: str) -> LegacyFlag:
    return LegacyFlag(here, lambda _, __: options, takes_no_value=True)


def _refuse(instead: str, takes_no_value: bool = False) -> LegacyFlag:
    def read(text: str, _: Texts) -> Texts:
        raise ValueError(f"not supported: {instead}")

    return LegacyFlag(f"refused: {instead}", read, takes_no_value)


def _accept_only(*accepted: str, instead: str) -> LegacyFlag:
    """Return a flag whose accepted values change nothing."""

    def read(text: str, _: Texts) -> Texts:
        if text in accepted:
            return {}
        raise ValueError(f"got {text!r}; {instead}")

    return LegacyFlag(f"nothing if {' or '.join(accepted)}, else refused: {instead}", read)


def _accept_except(option: str, **refused: str) -> LegacyFlag:
    """Return a flag of the same name here, some of whose values are refused."""

    def read(text: str, _: Texts) -> Texts:
        if text in refused:
            raise ValueError(f"got {text!r}; {refused[text]}")
        return {option: text}

    return LegacyFlag(
        "the same; " + "; ".join(f"{value} is refused: {reason}" for value, reason in refused.items()), read
    )


def _read_gpu_ids(text: str, _: Texts) -> Texts:
    if text == "-1":
        return {"device": "cpu"}
    if not text.isdecimal():
        raise ValueError(f"got {text!r}; one GPU's number, or -1 for the CPU, is needed; for several GPUs use torchrun")
    return {"device": f"cuda:{text}"}


_PATCH_OF_LAYERS = {"1": "16", "2": "34", "3": "70", "4": "142", "5": "286"}


def _read_discriminator(text: str, texts: Texts) -> Texts:
    if text == "n_layers":
        return {"patch": _PATCH_OF_LAYERS.get(texts.get("n_layers_D", "3"), "70")}
    if text not in ("basic", "pixel"):
        raise ValueError(f"got {text!r}; basic, n_layers or pixel is needed, or --patch")
    return {"patch": "70" if text == "basic" else "1"}


def _read_layers(text: str, texts: Texts) -> Texts:
    if text not in _PATCH_OF_LAYERS:
        raise ValueError(f"got {text!r}; 1, 2, 3, 4 or 5 is needed: --patch 16, 34, 70, 142 or 286")
    if text != "3" and texts.get("netD") != "n_layers":
        raise ValueError(f"it needs --netD n_layers; give --patch {_PATCH_OF_LAYERS[text]} instead")
    return {}


def _rename_limit(option: str) -> LegacyFlag:
    return LegacyFlag(f"`--{option}`; inf is none", lambda text, _: {option: "none" if text == "inf" else text})


def _is_unpaired(texts: Texts) -> bool:
    return texts.get("model") == "test" or texts.get("dataset_mode") == "single"


def _read_test_root(text: str, texts: Texts) -> Texts:
    return {"input": text} if _is_unpaired(texts) else {"dataroot": text}


def _read_test_model(text: str, texts: Texts) -> Texts:
    if text == "colorization":
        return {}
    return _MODEL.read(text, texts) if text != "test" else _read_unpaired(text, texts)


def _read_test_mode(text: str, texts: Texts) -> Texts:
    return (
        _read_unpaired(text, texts)
        if text == "single"
        else _accept_only("aligned", "colorization", instead=_PAIRS).read(text, texts)
    )


def _read_unpaired(text: str, texts: Texts) -> Texts:
    if not {"dataroot", "input"} & texts.keys():
        raise ValueError(f"{text} translates single images; --input FOLDER is needed")
    return {}


_PAIRS = "only pairs are supported; give --dataset_mode aligned or leave it out"
_MODEL = _accept_except(
    "model",
    cycle_gan="unpaired training is not supported; pix2pix learns from pairs",
    test="it is for test.py; pix2pix is needed here",
)


def _read_train_model(text: str, texts: Texts) -> Texts:
    return {"target_kind": "lab"} if text == "colorization" else _MODEL.read(text, texts)


def _read_train_mode(text: str, texts: Texts) -> Texts:
    return (
        {"target_kind": "lab"} if text == "colorization" else _accept_only("aligned", instead=_PAIRS).read(text, texts)
    )


_TENSORBOARD = _refuse("images and curves are in TensorBoard: tensorboard --logdir CHECKPOINTS_DIR/NAME/tb")
_NO_VISDOM = _accept_only("0", "-1", instead="there is no visdom; images and curves are in TensorBoard; leave it out")

_BOTH = {
    "gpu_ids": LegacyFlag("`--device`: -1 is cpu, N is cuda:N; several: `torchrun`", _read_gpu_ids),
    "netG": _rename("generator"),
    "netD": LegacyFlag("`--patch`: basic is 70, pixel is 1, n_layers follows --n_layers_D", _read_discriminator),
    "n_layers_D": LegacyFlag("`--patch`, beside --netD n_layers: 1 to 5 are 16, 34, 70, 142, 286", _read_layers),
    "no_dropout": _switch("`--use_dropout false`", use_dropout="false"),
    "load_iter": _refuse("--epoch STEP chooses a checkpoint at test; --resume continues the latest"),
    "verbose": _refuse("the sizes of the networks are always reported; leave it out", takes_no_value=True),
    "suffix": _refuse("write the whole name in --name"),
    "use_wandb": _refuse("curves are in TensorBoard and metrics.jsonl; leave it out", takes_no_value=True),
    "wandb_project_name": _refuse("curves are in TensorBoard and metrics.jsonl; leave it out"),
    "display_winsize": _refuse("pages and TensorBoard scale images; leave it out"),
}

TRAIN: Mapping[str, LegacyFlag] = _BOTH | {
    "model": LegacyFlag(f"{_MODEL.here}; colorization is `--target_kind lab`", _read_train_model),
    "lambda_L1": _rename("lambda_l1"),
    "gan_mode": _accept_except(
        "gan_mode", wgangp="its gradient penalty is not applied in pix2pix; choose lsgan or hinge"
    ),
    "no_flip": _switch("`--flip false`", flip="false"),
    "num_threads": _rename("num_workers"),
    "max_dataset_size": _rename_limit("max_dataset_size"),
    "continue_train": _switch("`--resume`", resume="true"),
    "print_freq": _rename("log_every"),
    "save_latest_freq": _rename("save_every"),
    "save_epoch_freq": _refuse("use --save_every STEPS, and --keep N for the number of checkpoints"),
    "save_by_iter": _switch("nothing: checkpoints are named by their step"),
    "epoch": _accept_only("latest", instead="--resume continues the latest checkpoint; leave it out"),
    "epoch_count": _refuse("--resume continues at the saved step; leave it out"),
    "phase": _accept_only("train", instead="training uses the phase train; leave it out"),
    "dataset_mode": LegacyFlag(
        f"nothing if aligned, `--target_kind lab` if colorization, else refused: {_PAIRS}", _read_train_mode
    ),
    "serial_batches": _refuse("pairs are shuffled, in an order that --seed fixes; leave it out", takes_no_value=True),
    "pool_size": _accept_only("0", instead="pix2pix has no image pool; leave it out"),
    "lr_decay_iters": _refuse("it belongs to --lr_policy step; use --n_epochs_decay for the length of the decay"),
    "no_html": _switch("nothing: training writes no pages"),
    "update_html_freq": _refuse("images go to TensorBoard at every validation: use --val_every STEPS"),
    "display_freq": _refuse("images go to TensorBoard at every validation: use --val_every STEPS"),
    "display_id": _NO_VISDOM,
    "display_ncols": _TENSORBOARD,
    "display_server": _TENSORBOARD,
    "display_env": _TENSORBOARD,
    "display_port": _TENSORBOARD,
}

_OF_ANY_METHOD = (
    *("gpu_ids", "verbose", "suffix", "use_wandb", "wandb_project_name", "load_iter", "epoch", "epoch_count"),
    *("no_flip", "num_threads", "max_dataset_size", "continue_train", "print_freq", "no_html", "update_html_freq"),
    *("save_latest_freq", "save_epoch_freq", "save_by_iter", "display_winsize", "display_freq", "display_id"),
    *("display_ncols", "display_server", "display_env", "display_port"),
)
_IN_STEPS = _refuse("use --steps for the length of training")

STYLE: Mapping[str, LegacyFlag] = {flag: TRAIN[flag] for flag in _OF_ANY_METHOD} | {
    "n_epochs": _IN_STEPS,
    "n_epochs_decay": _IN_STEPS,
}

_OF_A_GAN = ("model", "netD", "n_layers_D", "lambda_L1", "gan_mode", "pool_size", "dataset_mode")

SEGMENT: Mapping[str, LegacyFlag] = {flag: old for flag, old in TRAIN.items() if flag not in _OF_A_GAN}

TEST: Mapping[str, LegacyFlag] = _BOTH | {
    "model": LegacyFlag(
        "pix2pix and colorization change nothing; test takes --dataroot as `--input`; others are refused",
        _read_test_model,
    ),
    "dataroot": LegacyFlag("the same; `--input` beside --model test or --dataset_mode single", _read_test_root),
    "dataset_mode": LegacyFlag(
        "aligned and colorization change nothing; single takes --dataroot as `--input`; others are refused",
        _read_test_mode,
    ),
    "eval": _switch("`--norm_stats running --dropout off`", norm_stats="running", dropout="off"),
    "max_dataset_size": _rename_limit("num_test"),
    "content": _rename("input"),
    "aspect_ratio": _accept_only("1", "1.0", instead="outputs have the size of their images; leave it out"),
    "model_suffix": _refuse("a checkpoint holds one generator; leave it out"),
    "batch_size": _accept_only("1", instead="images are translated one by one; leave it out"),
    "num_threads": _accept_only("0", instead="test.py loads images in the main process; leave it out"),
    "serial_batches": _switch("nothing: test images come in the order of their names"),
    "no_flip": _switch("nothing: test images are never mirrored"),
}

OPTIMIZE: Mapping[str, LegacyFlag] = {"gpu_ids": _BOTH["gpu_ids"], "input": _rename("content")}

# Options of training that may be retyped at test if they agree with the checkpoint.
CLAIMS = frozenset(
    {
        *("model", "direction", "load_size", "crop_size", "input_nc", "output_nc"),
        *("generator", "ngf", "ndf", "patch", "norm", "upsample", "use_dropout", "init_type", "init_gain"),
    }
)


REMOVED = {
    "gan": "--gan_mode vanilla --conditional false --lambda_l1 0",
    "cgan": "--gan_mode vanilla --conditional true --lambda_l1 0",
    "l1": "--gan_mode none --lambda_l1 100",
    "l1_gan": "--gan_mode vanilla --conditional false --lambda_l1 100",
    "l1_cgan": "--gan_mode vanilla --conditional true --lambda_l1 100",
    **{
        f"patch_{side}": f"--dataroot ./datasets/facades --direction BtoA --patch {side} --name facades_patch_{side}"
        for side in (1, 16, 70, 286)
    },
}
"""The flags that replace options/NAME.yaml. Delete this table with version 0.3."""


def load_preset(path: str | Path) -> dict[str, object]:
    """Load a preset; if options/NAME.yaml was renamed or removed, load its replacement and log it.

    Raises:
        OptionError: as `load_yaml`.
    """
    try:
        return load_yaml(path)
    except OptionError:
        absolute = Path(os.path.normpath(Path.cwd() / path))
        if os.path.lexists(path):
            raise
        name = renames.PRESETS.get("/".join(absolute.parts[-2:]))
        if name is not None:
            preset = load_yaml(absolute.with_name(name))
            _LOG.warning("%s is now %s", escape_line(path), escape_line(Path(path).with_name(name)))
            return preset
        stem = absolute.stem
        if absolute.suffix != ".yaml" or absolute.parent.name != "options" or stem not in REMOVED:
            raise
    flags = REMOVED[stem]
    _LOG.warning("%s is gone: use %s", escape_line(path), flags)
    words = flags.split()
    return {flag.removeprefix("--"): value for flag, value in zip(words[::2], words[1::2], strict=True)}
