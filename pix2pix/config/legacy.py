"""Old names: flags of junyanz/pytorch-CycleGAN-and-pix2pix and of earlier versions, removed presets.

Each is read with its meaning, or refused naming what takes its place. A flag that asks for what happens anyway is read
and changes nothing.
"""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from pix2pix.config.base import OptionError, escape_line
from pix2pix.config.yaml import load_yaml

Texts = Mapping[str, str]


class LegacyFlag(NamedTuple):
    """One flag: what stands for it here, and the options that its text becomes.

    `read` also gets all flags as typed, because some count only beside others. It raises ValueError to refuse.
    """

    here: str
    read: Callable[[str, Texts], Texts]
    bare: bool = False


def _named(option: str) -> LegacyFlag:
    return LegacyFlag(f"`--{option}`", lambda text, _: {option: text})


def _bare(here: str, **options: str) -> LegacyFlag:
    return LegacyFlag(here, lambda _, __: options, bare=True)


def _refused(instead: str, bare: bool = False) -> LegacyFlag:
    def read(text: str, _: Texts) -> Texts:
        raise ValueError(f"not offered here: {instead}")

    return LegacyFlag(f"refused: {instead}", read, bare)


def _only(*accepted: str, instead: str) -> LegacyFlag:
    """Return a flag whose accepted values ask for what happens anyway."""

    def read(text: str, _: Texts) -> Texts:
        if text in accepted:
            return {}
        raise ValueError(f"got {text!r}; {instead}")

    return LegacyFlag(f"nothing if {' or '.join(accepted)}, else refused: {instead}", read)


def _except(option: str, **refused: str) -> LegacyFlag:
    """Return a flag that we name the same, but some of whose values are not offered."""

    def read(text: str, _: Texts) -> Texts:
        if text in refused:
            raise ValueError(f"got {text!r}; {refused[text]}")
        return {option: text}

    return LegacyFlag(
        "the same; " + "; ".join(f"{value} is refused: {reason}" for value, reason in refused.items()), read
    )


def _gpu_ids(text: str, _: Texts) -> Texts:
    if text == "-1":
        return {"device": "cpu"}
    if not text.isdecimal():
        raise ValueError(
            f"got {text!r}; one GPU's number, or -1 for the CPU, is needed: for several, see torchrun in docs/tips.md"
        )
    return {"device": f"cuda:{text}"}


_PATCH_OF_LAYERS = {"1": "16", "2": "34", "3": "70", "4": "142", "5": "286"}


def _discriminator(text: str, said: Texts) -> Texts:
    if text == "n_layers":
        return {"patch": _PATCH_OF_LAYERS.get(said.get("n_layers_D", "3"), "70")}
    if text not in ("basic", "pixel"):
        raise ValueError(f"got {text!r}; basic, n_layers or pixel is needed, or --patch")
    return {"patch": "70" if text == "basic" else "1"}


def _layers(text: str, said: Texts) -> Texts:
    if text not in _PATCH_OF_LAYERS:
        raise ValueError(f"got {text!r}; 1, 2, 3, 4 or 5 is needed: --patch 16, 34, 70, 142 or 286")
    if text != "3" and said.get("netD") != "n_layers":
        raise ValueError(f"counts only beside --netD n_layers; give --patch {_PATCH_OF_LAYERS[text]} instead")
    return {}


def _limit(option: str) -> LegacyFlag:
    return LegacyFlag(f"`--{option}`; inf is none", lambda text, _: {option: "none" if text == "inf" else text})


def _is_unpaired(said: Texts) -> bool:
    return said.get("model") == "test" or said.get("dataset_mode") == "single"


def _test_root(text: str, said: Texts) -> Texts:
    return {"input": text} if _is_unpaired(said) else {"dataroot": text}


def _test_model(text: str, said: Texts) -> Texts:
    if text == "colorization":
        return {}
    return _MODEL.read(text, said) if text != "test" else _singles(text, said)


def _test_mode(text: str, said: Texts) -> Texts:
    return (
        _singles(text, said) if text == "single" else _only("aligned", "colorization", instead=_PAIRS).read(text, said)
    )


def _singles(text: str, said: Texts) -> Texts:
    if not {"dataroot", "input"} & said.keys():
        raise ValueError(f"{text} translates single images; --input FOLDER is needed")
    return {}


_PAIRS = "pairs are all that is read; give --dataset_mode aligned or leave it out"
_MODEL = _except(
    "model",
    cycle_gan="unpaired training is not built here; pix2pix learns from pairs",
    test="that is for test.py; pix2pix is needed here",
)


def _train_model(text: str, said: Texts) -> Texts:
    return {"target_kind": "lab"} if text == "colorization" else _MODEL.read(text, said)


def _train_mode(text: str, said: Texts) -> Texts:
    return {"target_kind": "lab"} if text == "colorization" else _only("aligned", instead=_PAIRS).read(text, said)


_TENSORBOARD = _refused("pictures and curves are in TensorBoard: tensorboard --logdir CHECKPOINTS_DIR/NAME/tb")
_NO_VISDOM = _only("0", "-1", instead="there is no visdom; pictures and curves are in TensorBoard; leave it out")

_BOTH = {
    "gpu_ids": LegacyFlag("`--device`: -1 is cpu, N is cuda:N; several: `torchrun`", _gpu_ids),
    "netG": _named("generator"),
    "netD": LegacyFlag("`--patch`: basic is 70, pixel is 1, n_layers follows --n_layers_D", _discriminator),
    "n_layers_D": LegacyFlag("`--patch`, beside --netD n_layers: 1 to 5 are 16, 34, 70, 142, 286", _layers),
    "no_dropout": _bare("`--use_dropout false`", use_dropout="false"),
    "load_iter": _refused("--epoch STEP chooses a checkpoint at test; --resume continues the latest"),
    "verbose": _refused("the sizes of the networks are always reported; leave it out", bare=True),
    "suffix": _refused("write the whole name in --name"),
    "use_wandb": _refused("curves are in TensorBoard and metrics.jsonl; leave it out", bare=True),
    "wandb_project_name": _refused("curves are in TensorBoard and metrics.jsonl; leave it out"),
    "display_winsize": _refused("pages and TensorBoard scale pictures themselves; leave it out"),
}

TRAIN: Mapping[str, LegacyFlag] = _BOTH | {
    "model": LegacyFlag(f"{_MODEL.here}; colorization is `--target_kind lab`", _train_model),
    "lambda_L1": _named("lambda_l1"),
    "gan_mode": _except("gan_mode", wgangp="pix2pix never applies its gradient penalty; choose lsgan or hinge"),
    "no_flip": _bare("`--flip false`", flip="false"),
    "num_threads": _named("num_workers"),
    "max_dataset_size": _limit("max_dataset_size"),
    "continue_train": _bare("`--resume`", resume="true"),
    "print_freq": _named("log_every"),
    "save_latest_freq": _named("save_every"),
    "save_epoch_freq": _refused("--save_every STEPS saves, --keep N says how many checkpoints stay"),
    "save_by_iter": _bare("nothing: checkpoints are named by their step anyway"),
    "epoch": _only("latest", instead="--resume continues the latest checkpoint; leave it out"),
    "epoch_count": _refused("--resume knows the step it continues at; leave it out"),
    "phase": _only("train", instead="training reads the phase train; leave it out"),
    "dataset_mode": LegacyFlag(
        f"nothing if aligned, `--target_kind lab` if colorization, else refused: {_PAIRS}", _train_mode
    ),
    "serial_batches": _refused("pairs are shuffled, in an order that --seed fixes; leave it out", bare=True),
    "pool_size": _only("0", instead="pix2pix keeps no pool of old images; leave it out"),
    "lr_decay_iters": _refused("it belongs to --lr_policy step; --n_epochs_decay says how long the rate falls"),
    "no_html": _bare("nothing: training writes no pages anyway"),
    "update_html_freq": _refused("pictures go to TensorBoard at every validation: --val_every STEPS"),
    "display_freq": _refused("pictures go to TensorBoard at every validation: --val_every STEPS"),
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
_IN_STEPS = _refused("--steps says how long it is trained")

STYLE: Mapping[str, LegacyFlag] = {flag: TRAIN[flag] for flag in _OF_ANY_METHOD} | {
    "n_epochs": _IN_STEPS,
    "n_epochs_decay": _IN_STEPS,
}

_OF_A_GAN = ("model", "netD", "n_layers_D", "lambda_L1", "gan_mode", "pool_size", "dataset_mode")

SEGMENT: Mapping[str, LegacyFlag] = {flag: old for flag, old in TRAIN.items() if flag not in _OF_A_GAN}

TEST: Mapping[str, LegacyFlag] = _BOTH | {
    "model": LegacyFlag(
        "pix2pix and colorization change nothing; test takes --dataroot as `--input`; others are refused", _test_model
    ),
    "dataroot": LegacyFlag("the same; `--input` beside --model test or --dataset_mode single", _test_root),
    "dataset_mode": LegacyFlag(
        "aligned and colorization change nothing; single takes --dataroot as `--input`; others are refused", _test_mode
    ),
    "eval": _bare("`--statistics running --dropout off`", statistics="running", dropout="off"),
    "max_dataset_size": _limit("num_test"),
    "content": _named("input"),
    "aspect_ratio": _only("1", "1.0", instead="outputs have the size of their images; leave it out"),
    "model_suffix": _refused("a checkpoint holds one generator; leave it out"),
    "batch_size": _only("1", instead="images are translated one by one, so that none influences another; leave it out"),
    "num_threads": _only("0", instead="test.py reads images itself; leave it out"),
    "serial_batches": _bare("nothing: test images come in the order of their names anyway"),
    "no_flip": _bare("nothing: test images are never mirrored"),
}

OPTIMIZE: Mapping[str, LegacyFlag] = {"gpu_ids": _BOTH["gpu_ids"], "input": _named("content")}

# What a checkpoint knows and people retype at test: allowed where it agrees.
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
    """Load a preset; where options/NAME.yaml was removed and no such file exists, log what replaces it.

    Raises:
        OptionError: as `load_yaml`.
    """
    try:
        return load_yaml(path)
    except OptionError:
        absolute = Path(os.path.normpath(Path.cwd() / path))
        if absolute.suffix != ".yaml" or absolute.parent.name != "options" or absolute.stem not in REMOVED:
            raise
        if os.path.lexists(path):
            raise
    flags = REMOVED[absolute.stem]
    logging.getLogger(__name__).warning("%s is gone: use %s", escape_line(path), flags)
    words = flags.split()
    return {flag.removeprefix("--"): value for flag, value in zip(words[::2], words[1::2], strict=True)}
