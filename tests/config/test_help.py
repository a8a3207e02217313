import runpy
from pathlib import Path

from pix2pix.config.help import format_options_page

PAGE = Path(__file__).parents[2] / "docs" / "options.md"


def test_the_page_of_options_is_current():
    assert PAGE.read_text() == format_options_page()


def test_the_module_writes_the_page(capsys):
    runpy.run_module("pix2pix.config", run_name="__main__")
    assert capsys.readouterr().out == format_options_page()
