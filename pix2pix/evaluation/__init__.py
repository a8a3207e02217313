"""How good translations are: folders of images compared with the truth, in numbers that come with their protocol."""

from pix2pix.evaluation.evaluating import Evaluation, evaluate, scorer_of
from pix2pix.evaluation.instruments import Absent, Instruments, open_instruments
from pix2pix.evaluation.pictures import Folders, Picture, find_pictures, folders
from pix2pix.evaluation.record import check_writable, networks_of, write_metrics
from pix2pix.evaluation.translation import Translation, read_translation, translation_by, write_translation

__all__ = [
    "Absent",
    "Evaluation",
    "Folders",
    "Instruments",
    "Picture",
    "Translation",
    "check_writable",
    "evaluate",
    "find_pictures",
    "folders",
    "networks_of",
    "open_instruments",
    "read_translation",
    "scorer_of",
    "translation_by",
    "write_metrics",
    "write_translation",
]
