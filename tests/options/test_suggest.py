import random
import string

import pytest

from pix2pix import options
from pix2pix.options import OptionError, Pix2PixOptions, parse
from pix2pix.options.junyanz import CLAIMS, TEST, TRAIN
from pix2pix.options.records import leaves
from pix2pix.options.suggest import did_you_mean, distance, nearest

LETTERS = string.ascii_lowercase + string.digits + "_"


def test_a_mistyped_word_is_told_the_nearest_names():
    assert (
        did_you_mean("lambda_l", ["lr", "lambda_l1", "lambda_l2"], "--") == ": did you mean --lambda_l1 or --lambda_l2?"
    )
    assert did_you_mean("zzz", ["lr"]) == ""
    assert nearest("x" * 1_000_000, ["lr"]) == []


@pytest.mark.parametrize(("word", "name"), [("batch", "batch_size"), ("workers", "num_workers"), ("LR", "lr")])
def test_a_part_of_a_name_is_told_the_name(word, name):
    assert nearest(word, ["name", "batch_size", "num_workers", "lr"]) == [name]


@pytest.mark.parametrize(
    ("a", "b", "edits"), [("", "abc", 3), ("lr", "lr", 0), ("lr", "rl", 1), ("kitten", "sitting", 3), ("ca", "abc", 3)]
)
def test_distance_is_that_of_damerau_without_double_edits(a, b, edits):
    assert distance(a, b) == distance(b, a) == edits


def one_edit(word):
    for i in range(len(word) + 1):
        yield from (word[:i] + letter + word[i:] for letter in LETTERS)
        yield from (word[:i] + letter + word[i + 1 :] for letter in LETTERS if i < len(word))
        yield word[:i] + word[i + 1 :]
        yield word[:i] + word[i + 1 : i + 2] + word[i : i + 1] + word[i + 2 :]


NAMES = {
    Pix2PixOptions: {*leaves(Pix2PixOptions), *TRAIN},
    options.TestOptions: {*leaves(options.TestOptions), *TEST, *CLAIMS},
    options.GeneratedOptions: {*leaves(options.GeneratedOptions)},
}


def typos(record):
    names = NAMES[record]
    return sorted({(typo, name) for name in names for typo in one_edit(name) if typo and typo not in names})


def share_understood(record, words):
    understood = 0
    for typo, name in words:
        with pytest.raises(OptionError) as error:
            parse([f"--{typo}=1"], record, program="train.py")
        message = str(error.value)
        assert message.startswith(f"unknown option --{typo}")
        understood += f"--{name}" in message.partition("did you mean ")[2].removesuffix("?").split(" or ")
    return understood / len(words)


@pytest.mark.parametrize("record", NAMES)
def test_a_one_letter_typo_is_refused_and_its_name_among_two_suggestions(record):
    assert share_understood(record, random.Random(0).sample(typos(record), 250)) >= 0.95


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("record", NAMES)
def test_all_one_letter_typos_are_refused_and_understood(record):
    assert share_understood(record, typos(record)) >= 0.95
