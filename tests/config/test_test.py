import pytest

from pix2pix.config.base import OptionError, list_options
from pix2pix.config.parse import TRAINING_OPTIONS
from pix2pix.config.test import UNUSED, TestOptions, check_applicable


def test_an_option_that_a_method_has_no_use_for_is_refused():
    check_applicable("adain", ["style", "alpha", "keep_colors", "tile"])
    check_applicable("pix2pix", ["dropout", "phase"])
    with pytest.raises(OptionError) as caught:
        check_applicable("pix2pix", ["tile", "alpha", "style"])
    assert str(caught.value).startswith("--alpha: a run of pix2pix ")


def test_every_method_says_what_it_has_no_use_for():
    assert set(UNUSED) == set(TRAINING_OPTIONS)
    assert all(names <= set(list_options(TestOptions)) for names in UNUSED.values())


def test_a_statistic_that_a_method_lets_choose_is_an_option_of_its_training():
    for model, record in TRAINING_OPTIONS.items():
        for name in ("norm_stats", "dropout"):
            assert (name in UNUSED[model]) == (name not in list_options(record))
