"""The plan of the house, checked against the source: who may import whom, and what no file may do."""

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from pix2pix.config.losses import LossOptions
from pix2pix.config.parse import TRAINING_OPTIONS, ModelOption
from pix2pix.config.pix2pix import DataOptions, NetworkOptions, RunOptions, TestTimeOptions
from pix2pix.config.style import TransformerNetOptions
from pix2pix.config.types import GENERATORS
from pix2pix.data import transforms
from pix2pix.losses.adversarial import AdversarialMode
from pix2pix.methods import METHODS
from pix2pix.networks.conv import Output, Upsample
from pix2pix.networks.init import InitType, build_generator
from pix2pix.networks.norm import NormKind, Statistics
from pix2pix.networks.patchgan import STRIDED_LAYERS
from pix2pix.runtime.device import Precision

# Imports go up this list only: a folder may use those above it, or its own.
ORDER = (
    {"errors"},
    {"checkpoint", "distributed", "metrics", "seeds"},
    {"config"},
    {"losses"},
    {"data"},
    {"networks"},
    {"runtime"},
    {"methods"},
    {"training"},
    {"inference"},
    {"evaluation"},
    {"report"},
    {"cli"},
    {"__main__"},
)
LEVELS = {folder: level for level, folders in enumerate(ORDER) for folder in folders}
ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pix2pix"
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}
FOLDERS = {name: name.partition("/")[0].removesuffix(".py") for name in FILES if name != "__init__.py"}


def imports(tree):
    """Every module that is imported anywhere in the file: in functions and for type checkers too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (
                [f"pix2pix.{alias.name}" for alias in node.names] if node.module == "pix2pix" else [node.module]
            )


def calls(tree):
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def files_with(condition):
    return {name for name, tree in TREES.items() if condition(tree)}


def importers(*packages):
    return files_with(lambda tree: any(module.partition(".")[0] in packages for module in imports(tree)))


def test_imports_go_up_the_list_of_folders_only():
    wrong = []
    for name, folder in FOLDERS.items():
        for module in imports(TREES[name]):
            _, _, inside = module.partition("pix2pix.")
            other = inside.partition(".")[0]
            # the package itself offers its version and `load` to anyone
            if not module.startswith("pix2pix.") or other in ("__version__", folder):
                continue
            if LEVELS[other] >= LEVELS[folder]:
                wrong.append(f"{name} imports {module}")
    assert wrong == []


def imported_modules(tree, modules):
    """Every module of ours that a file imports, or imports a name from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in modules else node.module


def test_no_modules_import_each_other_in_a_circle():
    modules = {
        f"pix2pix.{name.removesuffix('.py').replace('/', '.')}".removesuffix(".__init__"): name for name in FILES
    }
    edges = {
        module: {target for target in imported_modules(TREES[name], modules) if target in modules} - {module, "pix2pix"}
        for module, name in modules.items()
        if module != "pix2pix"  # which anyone may ask for its version
    }
    while leaves := {module for module, targets in edges.items() if not targets}:
        edges = {module: targets - leaves for module, targets in edges.items() if targets}
    assert sorted(edges) == []


def test_every_folder_has_a_place_in_the_order():
    assert set(FOLDERS.values()) == set(LEVELS)


def test_the_package_itself_offers_load_and_imports_it_on_demand():
    assert set(imports(TREES["__init__.py"])) == {"typing", "pix2pix.inference.translator"}


def test_config_imports_nothing_heavy():
    heavy = importers("torch", "torchvision", "numpy", "cv2", "PIL", "albumentations", "tqdm")
    assert [name for name in heavy if name.startswith("config/")] == []


def test_albumentations_is_imported_in_transforms_only():
    assert importers("albumentations") == {"data/transforms.py"}


def test_tensorboard_is_imported_in_logging_only():
    assert files_with(lambda tree: any("tensorboard" in module for module in imports(tree))) == {"training/logging.py"}


def test_image_files_are_opened_in_data_only():
    openers = {"Image.open", "cv2.imread", "cv2.imwrite", "cv2.imdecode", "cv2.imencode"}
    opening = files_with(lambda tree: any(ast.unparse(call.func) in openers for call in calls(tree)))
    assert {name.partition("/")[0] for name in opening} == {"data"}


def test_print_is_called_in_cli_only():
    printing = files_with(lambda tree: any(ast.unparse(call.func) == "print" for call in calls(tree)))
    assert printing
    assert {name.partition("/")[0] for name in printing} == {"cli"}


def test_loading_never_runs_code():
    for tree in TREES.values():
        for call in calls(tree):
            function = ast.unparse(call.func)
            assert function not in ("eval", "exec", "pickle.load", "pickle.loads", "importlib.import_module")
            if function == "torch.load":
                assert {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}["weights_only"] == "True"


def test_no_import_takes_everything():
    stars = [
        alias
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == "*"
    ]
    assert stars == []


def test_a_method_imports_no_other_method():
    names = "base", "feature_loss", "perceptual_loss", "style_network_loss", "image_optimizer"
    shared = {f"pix2pix.methods.{name}" for name in names}
    for name in (name for name in FILES if name.startswith("methods/") and name != "methods/__init__.py"):
        assert {module for module in imports(TREES[name]) if module.startswith("pix2pix.methods")} <= shared


def test_the_unet_imports_no_other_network():
    others = {"resnet", "patchgan", "transformer_net", "adain_net", "init"}
    assert not {f"pix2pix.networks.{name}" for name in others} & set(imports(TREES["networks/unet.py"]))


def test_files_are_short_and_say_what_they_are():
    long = {name: count for name, path in FILES.items() if (count := len(path.read_text("utf-8").splitlines())) > 450}
    assert long == {}
    assert [name for name, tree in TREES.items() if not ast.get_docstring(tree)] == []


def choices(record, option):
    return set(get_args(record.model_fields[option].annotation))


def test_what_the_options_allow_is_what_the_code_takes():
    assert choices(ModelOption, "model") == set(TRAINING_OPTIONS) == set(METHODS)
    assert all(choices(record, "model") == {name} for name, record in TRAINING_OPTIONS.items())
    assert choices(TransformerNetOptions, "output") == set(get_args(Output))
    assert choices(NetworkOptions, "norm") == {"auto", *get_args(NormKind)}
    assert choices(NetworkOptions, "upsample") == set(get_args(Upsample))
    assert choices(NetworkOptions, "init_type") == set(get_args(InitType))
    assert choices(NetworkOptions, "patch") == {1, *STRIDED_LAYERS}
    assert choices(LossOptions, "gan_mode") == {"none", *get_args(AdversarialMode)}
    assert choices(DataOptions, "preprocess") == set(get_args(transforms.Preprocess))
    assert choices(RunOptions, "precision") == set(get_args(Precision))
    assert choices(TestTimeOptions, "norm_stats") == set(get_args(Statistics)) - {"batch"}


@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator_that_the_options_allow_can_be_built(name):
    network = build_generator(name, 3, 3, ngf=1, norm="instance", upsample="transpose", dropout=True)
    size = name.rpartition("_")[2]
    assert network.multiple == (16 if name.startswith("resnet") else int(size) if size.isdecimal() else 256)


IMPORT_ALL = """
import sys
heard = []
watched = ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.mkdir", "os.remove", "os.rename")
sys.addaudithook(lambda event, arguments: heard.append((event, str(arguments))) if event in watched else None)
import importlib, random, signal
import numpy, torch, torch.utils.tensorboard, cv2, PIL.Image
heard.clear()
state = lambda: (torch.get_rng_state().tolist(), str(numpy.random.get_state()), random.getstate(),
                 torch.get_num_threads(), torch.is_grad_enabled(), signal.getsignal(signal.SIGINT))
before = state()
for module in sys.argv[1:]:
    importlib.import_module(module)
assert state() == before
assert heard == [], heard
"""


def test_importing_every_module_does_nothing():
    modules = [f"pix2pix.{name.removesuffix('.py').replace('/', '.')}".removesuffix(".__init__") for name in FILES]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", IMPORT_ALL, *modules]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
