import pytest

from pix2pix.config.base import OptionError
from pix2pix.config.parse import parse
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.config.test import TestOptions

# Every flag of junyanz/pytorch-CycleGAN-and-pix2pix at commit 9f8f61e5, by the file that defines it.
BASE_FLAGS = """dataroot name gpu_ids checkpoints_dir model input_nc output_nc ngf ndf netD netG n_layers_D norm
    init_type init_gain no_dropout dataset_mode direction serial_batches num_threads batch_size load_size crop_size
    max_dataset_size preprocess no_flip display_winsize epoch load_iter verbose suffix use_wandb wandb_project_name"""
TRAIN_FLAGS = """display_freq display_ncols display_id display_server display_env display_port update_html_freq
    print_freq no_html save_latest_freq save_epoch_freq save_by_iter continue_train epoch_count phase n_epochs
    n_epochs_decay beta1 lr gan_mode pool_size lr_policy lr_decay_iters lambda_L1"""
TEST_FLAGS = "results_dir aspect_ratio phase eval num_test model_suffix"


def train(line):
    return parse(line.split(), Pix2PixOptions, program="train.py").given


def translate(line):
    parsed = parse(line.split(), TestOptions, program="test.py")
    return parsed.given, parsed.claims


def test_the_commands_of_its_readme_run_as_typed():
    line = "--dataroot ./datasets/facades --name facades_pix2pix --model pix2pix --direction BtoA"
    record = parse(line.split(), Pix2PixOptions, program="train.py").options
    assert (record.data.direction, record.run.name) == ("BtoA", "facades_pix2pix")
    line = "--dataroot ./datasets/facades --direction BtoA --model pix2pix --name facades_pix2pix"
    given, claims = translate(line)
    assert given == {"dataroot": "datasets/facades", "name": "facades_pix2pix"}
    assert claims == {"direction": "BtoA", "model": "pix2pix"}


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("--gpu_ids -1", {"device": "cpu"}),
        ("--gpu_ids 0", {"device": "cuda:0"}),
        ("--netG unet_128", {"generator": "unet_128"}),
        ("--netD basic", {"patch": 70}),
        ("--netD pixel", {"patch": 1}),
        ("--netD pixel --n_layers_D 3", {"patch": 1}),
        ("--netD n_layers", {"patch": 70}),
        ("--netD n_layers --n_layers_D 1", {"patch": 16}),
        ("--netD n_layers --n_layers_D 2", {"patch": 34}),
        ("--n_layers_D 4 --netD n_layers", {"patch": 142}),
        ("--netD n_layers --n_layers_D 5", {"patch": 286}),
        ("--lambda_L1 10", {"lambda_l1": 10}),
        ("--no_flip --no_dropout --batch_size 4", {"flip": False, "use_dropout": False, "batch_size": 4}),
        ("--num_threads 0", {"num_workers": 0}),
        ("--max_dataset_size inf", {"max_dataset_size": None}),
        ("--max_dataset_size 7", {"max_dataset_size": 7}),
        ("--continue_train", {"resume": True}),
        ("--print_freq 10 --save_latest_freq 20", {"log_every": 10, "save_every": 20}),
        ("--gan_mode lsgan --norm batch", {"gan_mode": "lsgan", "norm": "batch"}),
        ("--dataset_mode aligned --pool_size 0 --phase train --epoch latest --display_id 0 --display_id -1", {}),
        ("--save_by_iter --no_html", {}),
        ("--model colorization --dataset_mode colorization", {"target_kind": "lab"}),
    ],
)
def test_a_training_flag_is_read_with_its_meaning(line, given):
    assert train(line) == given


def mistake(read, line):
    with pytest.raises(OptionError) as error:
        read(line)
    return str(error.value)


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("--gpu_ids 0,1", "torchrun"),
        ("--netG unet_255", "unet_N"),
        ("--netD multi", "basic, n_layers or pixel"),
        ("--n_layers_D 6 --netD n_layers", "1, 2, 3, 4 or 5"),
        ("--n_layers_D 5", "--patch 286"),
        ("--model cycle_gan", "pairs"),
        ("--model test", "test.py"),
        ("--model other", "pix2pix"),
        ("--gan_mode wgangp", "lsgan or hinge"),
        ("--lr_policy step", "linear or constant"),
        ("--lr_policy plateau", "linear or constant"),
        ("--lr_policy cosine", "linear or constant"),
        ("--lr_decay_iters 50", "--n_epochs_decay"),
        ("--dataset_mode unaligned", "aligned"),
        ("--pool_size 50", "leave it out"),
        ("--phase test", "leave it out"),
        ("--epoch 5", "--resume"),
        ("--epoch_count 5", "--resume"),
        ("--load_iter 5", "--epoch STEP"),
        ("--serial_batches", "--seed"),
        ("--save_epoch_freq 5", "--save_every STEPS"),
        ("--verbose", "leave it out"),
        ("--suffix x", "--name"),
        ("--use_wandb", "TensorBoard"),
        ("--wandb_project_name x", "TensorBoard"),
        ("--display_id 1", "TensorBoard"),
        ("--display_port 8097", "TensorBoard"),
        ("--display_freq 400", "--val_every STEPS"),
        ("--update_html_freq 9", "--val_every STEPS"),
        ("--display_winsize 256", "TensorBoard"),
    ],
)
def test_a_training_flag_that_is_not_offered_names_what_is(line, instead):
    message = mistake(train, line)
    assert message.startswith(line.split()[0] + ": ")
    assert instead in message


@pytest.mark.parametrize(
    ("line", "given", "claims"),
    [
        ("--model test --dataroot photos", {"input": "photos"}, {}),
        ("--dataroot photos --dataset_mode single", {"input": "photos"}, {}),
        ("--model test --input photos", {"input": "photos"}, {}),
        ("--dataroot pairs --dataset_mode aligned", {"dataroot": "pairs"}, {}),
        ("--eval", {"norm_stats": "running", "dropout": "off"}, {}),
        ("--epoch 200 --num_test 5 --phase val", {"epoch": 200, "num_test": 5, "phase": "val"}, {}),
        ("--max_dataset_size inf", {"num_test": None}, {}),
        ("--num_threads 0 --batch_size 1 --serial_batches --no_flip --aspect_ratio 1.0", {}, {}),
        ("--preprocess none", {"preprocess": "none"}, {}),
        ("--netG resnet_9blocks --no_dropout", {}, {"generator": "resnet_9blocks", "use_dropout": False}),
        ("--load_size 256 --norm batch", {}, {"load_size": (256, 256), "norm": "batch"}),
        ("--gpu_ids -1 --results_dir ./results/", {"device": "cpu", "results_dir": "results"}, {}),
    ],
)
def test_a_test_flag_is_read_with_its_meaning(line, given, claims):
    assert translate(line) == (given, claims)


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("--model test", "--input FOLDER"),
        ("--dataset_mode single", "--input FOLDER"),
        ("--dataset_mode unaligned", "aligned"),
        ("--model cycle_gan", "pairs"),
        ("--aspect_ratio 2", "leave it out"),
        ("--model_suffix _A", "leave it out"),
        ("--batch_size 8", "leave it out"),
        ("--num_threads 4", "leave it out"),
    ],
)
def test_a_test_flag_that_is_not_offered_names_what_is(line, instead):
    message = mistake(translate, line)
    assert message.startswith(line.split()[0] + ": ")
    assert instead in message


def test_flags_of_training_are_not_of_test():
    assert mistake(translate, "--lambda_L1 10").startswith("unknown option --lambda_L1")


@pytest.mark.parametrize(
    ("record", "flags"),
    [(Pix2PixOptions, BASE_FLAGS + " " + TRAIN_FLAGS), (TestOptions, BASE_FLAGS + " " + TEST_FLAGS)],
)
def test_no_flag_is_unknown(record, flags):
    said = []
    for flag in flags.split():
        try:
            said.append(str(parse([f"--{flag}"], record, program="x.py")))
        except OptionError as error:
            said.append(str(error))
    assert len(said) > 30
    assert not [message for message in said if message.startswith("unknown option")]
