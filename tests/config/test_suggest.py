import random
import string

import pytest

from pix2pix.config.base import OptionError, list_options
from pix2pix.config.legacy import CLAIMS, TEST, TRAIN
from pix2pix.config.parse import parse
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.config.test import TestOptions
from pix2pix.config.tools import GeneratedOptions
from pix2pix.config.types import did_you_mean


def test_a_mistyped_word_is_answered_with_the_nearest_names():
    assert did_you_mean("nmae", ["lr", "name"], "--") == ": did you mean --name?"
    assert did_you_mean("zzz", ["lr"]) == did_you_mean("x" * 1_000_000, ["lr"]) == ""
    assert did_you_mean("lambda_l", ["lr", "lambda_l1", "lambda_l2", "lambda_gan"]).count("lambda") == 2


@pytest.mark.parametrize(("word", "name"), [("batch", "batch_size"), ("workers", "num_workers"), ("LR", "lr")])
def test_a_part_of_a_name_is_answered_with_the_name(word, name):
    assert did_you_mean(word, ["name", "batch_size", "num_workers", "lr"]) == f": did you mean {name}?"


def one_edit(word):
    for i in range(len(word) + 1):
        for letter in string.ascii_lowercase + string.digits + "_":
            yield word[:i] + letter + word[i:]
            yield word[:i] + letter + word[i + 1 :]
        yield word[:i] + word[i + 1 :]
        yield word[:i] + word[i + 1 : i + 2] + word[i : i + 1] + word[i + 2 :]


@pytest.mark.parametrize(
    ("record", "further"),
    [(Pix2PixOptions, TRAIN), (TestOptions, {*TEST, *CLAIMS}), (GeneratedOptions, ())],
)
def test_a_one_letter_typo_is_refused_and_its_name_among_two_suggestions(record, further):
    names = {*list_options(record), *further}
    typos = sorted({(typo, name) for name in names for typo in one_edit(name) if typo and typo not in names})
    understood = 0
    for typo, name in random.Random(0).sample(typos, 250):
        with pytest.raises(OptionError, match=f"unknown option --{typo}") as error:
            parse([f"--{typo}=1"], record, program="train.py")
        suggested = str(error.value).partition("did you mean ")[2].removesuffix("?").split(" or ")
        assert len(suggested) <= 2
        understood += f"--{name}" in suggested
    assert understood >= 0.95 * 250
