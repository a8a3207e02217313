import pytest

from pix2pix import options
from pix2pix.options import OptionError, Pix2PixOptions, parse

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
    parsed = parse(line.split(), options.TestOptions, program="test.py")
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


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--gpu_ids 0,1", "--gpu_ids: got '0,1'; one GPU's number, or -1 for the CPU, is needed: for several, see"),
        ("--netG unet_255", "--netG: got 'unet_255'; unet_N, encoder_decoder, "),
        ("--netD multi", "--netD: got 'multi'; basic, n_layers or pixel is needed, or --patch"),
        ("--netD n_layers --n_layers_D 6", "--n_layers_D: got '6'; 1, 2, 3, 4 or 5 is needed: --patch 16, 34, 70, 142"),
        ("--n_layers_D 5", "--n_layers_D: counts only beside --netD n_layers; give --patch 286 instead"),
        ("--model cycle_gan", "--model: got 'cycle_gan'; unpaired training is not built here"),
        ("--model test", "--model: got 'test'; that is for test.py; pix2pix is needed here"),
        ("--model other", "--model: got 'other'; pix2pix is needed"),
        ("--gan_mode wgangp", "--gan_mode: got 'wgangp'; pix2pix never applies its gradient penalty; choose lsgan or"),
        ("--lr_policy step", "--lr_policy: got 'step'; linear or constant is needed"),
        ("--lr_policy plateau", "--lr_policy: got 'plateau'; linear or constant is needed"),
        ("--lr_policy cosine", "--lr_policy: got 'cosine'; linear or constant is needed"),
        ("--lr_decay_iters 50", "--lr_decay_iters: not offered here: it belongs to --lr_policy step; --n_epochs_decay"),
        ("--dataset_mode unaligned", "--dataset_mode: got 'unaligned'; pairs are all that is read"),
        ("--pool_size 50", "--pool_size: got '50'; pix2pix keeps no pool of old images; leave it out"),
        ("--phase test", "--phase: got 'test'; training reads the phase train; leave it out"),
        ("--epoch 5", "--epoch: got '5'; --resume continues the latest checkpoint; leave it out"),
        ("--epoch_count 5", "--epoch_count: not offered here: --resume knows the step"),
        ("--load_iter 5", "--load_iter: not offered here: --epoch STEP chooses a checkpoint at test; --resume"),
        ("--serial_batches", "--serial_batches: not offered here: pairs are shuffled"),
        ("--save_epoch_freq 5", "--save_epoch_freq: not offered here: --save_every STEPS saves, --keep N"),
        ("--verbose", "--verbose: not offered here: the sizes of the networks are always reported"),
        ("--suffix x", "--suffix: not offered here: write the whole name in --name"),
        ("--use_wandb", "--use_wandb: not offered here: curves are in TensorBoard and metrics.jsonl"),
        ("--wandb_project_name x", "--wandb_project_name: not offered here: curves are in TensorBoard"),
        ("--display_id 1", "--display_id: got '1'; there is no visdom; pictures and curves are in TensorBoard"),
        ("--display_port 8097", "--display_port: not offered here: pictures and curves are in TensorBoard"),
        ("--display_freq 400", "--display_freq: not offered here: pictures go to TensorBoard at every validation"),
        ("--update_html_freq 9", "--update_html_freq: not offered here: pictures go to TensorBoard at every"),
        ("--display_winsize 256", "--display_winsize: not offered here: pages and TensorBoard scale pictures"),
    ],
)
def test_a_training_flag_that_is_not_offered_names_what_is(line, message):
    with pytest.raises(OptionError) as error:
        train(line)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("line", "given", "claims"),
    [
        ("--model test --dataroot photos", {"input": "photos"}, {}),
        ("--dataroot photos --dataset_mode single", {"input": "photos"}, {}),
        ("--model test --input photos", {"input": "photos"}, {}),
        ("--dataroot pairs --dataset_mode aligned", {"dataroot": "pairs"}, {}),
        ("--eval", {"statistics": "running", "dropout": "off"}, {}),
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
    ("line", "message"),
    [
        ("--model test", "--model: test translates single images; --input FOLDER is needed"),
        ("--dataset_mode single", "--dataset_mode: single translates single images; --input FOLDER is needed"),
        ("--dataset_mode unaligned", "--dataset_mode: got 'unaligned'; pairs are all that is read"),
        ("--model cycle_gan", "--model: got 'cycle_gan'; unpaired training is not built here"),
        ("--aspect_ratio 2", "--aspect_ratio: got '2'; outputs have the size of their images; leave it out"),
        ("--model_suffix _A", "--model_suffix: not offered here: a checkpoint holds one generator; leave it out"),
        ("--batch_size 8", "--batch_size: got '8'; images are translated one by one"),
        ("--num_threads 4", "--num_threads: got '4'; test.py reads images itself; leave it out"),
        ("--lambda_L1 10", "unknown option --lambda_L1"),
    ],
)
def test_a_test_flag_that_is_not_offered_names_what_is(line, message):
    with pytest.raises(OptionError) as error:
        translate(line)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("record", "flags"),
    [(Pix2PixOptions, BASE_FLAGS + " " + TRAIN_FLAGS), (options.TestOptions, BASE_FLAGS + " " + TEST_FLAGS)],
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
