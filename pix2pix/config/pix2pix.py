"""Options of training pix2pix. Defaults are the paper's where it names them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pix2pix.config.augmentation import Augmentations
from pix2pix.config.base import Record
from pix2pix.config.losses import FeatureOptions, LossOptions, check_features_used
from pix2pix.config.types import (
    Channels,
    Device,
    Dropout,
    Fast,
    FilePath,
    Generator,
    OptionFlag,
    Palette,
    Precision,
    Preprocess,
    Range,
    RunName,
    Seed,
    Size,
    Statistics,
    Tile,
)

MAY_CHANGE, SWITCH = OptionFlag.MAY_CHANGE, OptionFlag.SWITCH
TILES = "side of the tiles that images are translated in, with the same result; auto: by memory; off: whole"
RANGES = "values shown to G as -1 and 1; none: 0,255 for 8 bits, else as measured per channel on train"


class DataOptions(Record):
    """Which pairs, and how they are prepared."""

    dataroot: FilePath = Field(description="the folder of pairs, or `generated` for the built-in data set")
    direction: Literal["AtoB", "BtoA"] = Field("AtoB", description="which image of a pair is the source")
    preprocess: Preprocess = Field("resize_and_crop", description="how a training pair is brought to its size")
    load_size: Size = Field((286, 286), description="size that pairs are resized to before the random crop")
    crop_size: Size = Field((256, 256), description="size of the random crop, and of test images")
    flip: bool = Field(True, description="mirror pairs at random, half of the time")
    val_fraction: float = Field(
        0.05, ge=0, le=0.5, description="share of train kept out for validation, chosen by name, if there is no val"
    )
    max_dataset_size: int | None = Field(None, gt=0, description="use only so many of the training pairs")
    source_kind: Literal["photo", "labels"] = Field("photo", description="labels: resizing mixes no colours")
    target_kind: Literal["photo", "labels", "lab"] = Field(
        "photo", description="labels: outputs have the palette's colours; lab: learn to colour photos, L to ab"
    )
    source_onehot: Palette | None = Field(None, description="show G the source's labels as one channel per class")
    target_palette: Palette | None = Field(None, description="colours of labels to translate to; none: those of train")
    source_range: Range | None = Field(None, description=RANGES)
    target_range: Range | None = Field(None, description=RANGES)
    input_nc: Channels | None = Field(None, description="channels of the source; none: as the images have")
    output_nc: Channels | None = Field(None, description="channels of the target; none: as the images have")
    augment: Augmentations = Field((), description="further transforms from albumentations, see docs/datasets.md")
    max_pixels: Annotated[int, MAY_CHANGE] = Field(2**26, gt=0, description="larger images are refused undecoded")
    skip_bad: Annotated[bool, MAY_CHANGE] = Field(False, description="leave faulty images out instead of refusing")
    check: Annotated[bool, MAY_CHANGE, SWITCH] = Field(True, description="read every pair once before the first step")
    num_workers: Annotated[int, MAY_CHANGE] = Field(2, ge=0, description="processes that load images; 0: the main one")
    loader_timeout: Annotated[float, MAY_CHANGE] = Field(
        60, gt=0, description="seconds that those processes have for a batch before the run ends with an error"
    )
    cache: Annotated[Literal["auto", "ram", "disk", "off"], MAY_CHANGE] = Field(
        "auto", description="where resized pairs are kept; auto: on the GPU, in memory, or on disk, where they fit"
    )
    cache_gb: Annotated[float, MAY_CHANGE] = Field(
        2, gt=0, le=10**6, description="GiB of memory that the cache of each process may take"
    )

    @model_validator(mode="after")
    def _cache_fits(self) -> Self:
        if self.cache == "disk" and self.preprocess != "resize_and_crop":
            raise ValueError(
                f"--cache disk needs pairs of one size, which --preprocess {self.preprocess} may not give: "
                "choose --cache ram, or --preprocess resize_and_crop"
            )
        return self

    @model_validator(mode="after")
    def _kinds_agree(self) -> Self:
        if self.skip_bad and not self.check:
            raise ValueError("--skip_bad finds faulty images by reading them all: leave --check false out")
        if self.source_onehot is not None and self.source_range is not None:
            raise ValueError("--source_onehot shows classes, which have no range: leave --source_range out")
        if self.target_palette is not None and self.target_kind != "labels":
            raise ValueError("--target_palette holds the colours of labels: add --target_kind labels")
        if self.target_kind != "lab":
            return self
        if self.source_kind != "photo" or self.source_onehot is not None:
            raise ValueError("--target_kind lab translates a photo's L into its a and b: leave the source's kind out")
        if self.direction != "AtoB" or self.input_nc is not None or self.output_nc is not None:
            raise ValueError("--target_kind lab goes from L to ab: leave --direction, --input_nc and --output_nc out")
        return self

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        (load_h, load_w), (crop_h, crop_w) = self.load_size, self.crop_size
        fits_height = crop_h <= load_h or self.preprocess != "resize_and_crop"
        if self.preprocess in ("resize_and_crop", "scale_width_and_crop") and not (fits_height and crop_w <= load_w):
            raise ValueError(
                f"crop_size {crop_h}x{crop_w} is larger than load_size {load_h}x{load_w}: raise --load_size, "
                "lower --crop_size, or choose --preprocess crop to cut from the images as they are"
            )
        return self


class NetworkOptions(Record):
    """The generator G and the discriminator D."""

    generator: Generator = Field(
        "unet_256", description="G; unet_N halves an N-pixel image down to 1x1, encoder_decoder has no skips"
    )
    ngf: int = Field(64, gt=0, le=4096, description="channels of G's first layer")
    ndf: int = Field(64, gt=0, le=4096, description="channels of D's first layer")
    upsample: Literal["transpose", "nearest", "bilinear"] = Field("transpose", description="how G's decoder enlarges")
    norm: Literal["auto", "batch", "instance", "none"] = Field(
        "auto", description="normalisation; auto: batch if a process has more than one pair per step, else instance"
    )
    use_dropout: bool = Field(True, description="build G with dropout 0.5: its noise, as there is no other")
    patch: Literal[1, 16, 34, 70, 142, 286] = Field(70, description="side in pixels of what one output of D sees")
    init_type: Literal["normal", "xavier", "kaiming", "orthogonal"] = Field("normal", description="initial weights")
    init_gain: float = Field(0.02, gt=0, description="scale of the initial weights; normal: their deviation")


class TrainOptions(Record):
    """How long, and how fast."""

    batch_size: int = Field(1, gt=0, description="pairs in a step, of each process")
    n_epochs: int = Field(100, ge=0, description="epochs at the full learning rate")
    n_epochs_decay: int = Field(100, ge=0, description="epochs in which the rate then falls")
    steps: Annotated[int | None, MAY_CHANGE] = Field(
        None, gt=0, description="steps in all, n_epochs : n_epochs_decay kept; none: those of the epochs"
    )
    lr: float = Field(2e-4, gt=0, description="Adam's learning rate")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's first moment")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's second moment")
    lr_policy: Literal["linear", "constant"] = Field("linear", description="the rate in the decay epochs")
    sync_batchnorm: Annotated[bool, MAY_CHANGE] = Field(
        False, description="BatchNorm normalises by the pairs of all processes together; on CUDA GPUs alone"
    )
    ema: float | None = Field(None, gt=0, lt=1, description="decay of the running average of G's weights; none: off")

    @model_validator(mode="after")
    def _some_epoch(self) -> Self:
        if self.n_epochs + self.n_epochs_decay == 0:
            raise ValueError("no epoch to train: --n_epochs or --n_epochs_decay must be above 0")
        return self


class TestTimeOptions(Record):
    """What a checkpoint records as the way to translate; test.py may choose otherwise."""

    __test__ = False  # no test case, whatever pytest makes of the name

    statistics: Statistics = Field(
        "image", description="normalise by the image's own statistics, as the paper, or by running ones (batch norm)"
    )
    dropout: Dropout = Field("on", description="dropout when translating, as the paper; seeded by --seed and file name")
    tile: Annotated[Tile, MAY_CHANGE, SWITCH] = Field("auto", description=TILES)


class RunOptions(Record):
    """Where the run lives, what it runs on, and what it reports."""

    # A run may be resumed in a folder that was moved or renamed: the name only says where it is.
    name: Annotated[RunName, MAY_CHANGE] = Field(description="name of the run, its folder in checkpoints_dir")
    checkpoints_dir: Annotated[FilePath, MAY_CHANGE] = Field("checkpoints", description="folder of all runs")
    seed: Seed = Field(0, description="same seed, same run")
    device: Annotated[Device, MAY_CHANGE] = Field("auto", description="what to run on; auto: cuda, else mps, else cpu")
    precision: Precision = Field("fp32", description="arithmetic of the networks; losses are fp32 always")
    fast: Annotated[Fast, MAY_CHANGE] = Field(
        "auto", description="speed-ups of docs/performance.md; auto: those that pay"
    )
    compile: Annotated[bool, MAY_CHANGE] = Field(False, description="compile the networks: a slower start, then faster")
    log_every: Annotated[int, MAY_CHANGE] = Field(50, gt=0, description="steps between logged losses")
    val_every: Annotated[int, MAY_CHANGE] = Field(1000, gt=0, description="steps between validations and pictures")
    save_every: Annotated[int, MAY_CHANGE] = Field(1000, gt=0, description="steps between checkpoints")
    keep: Annotated[int, MAY_CHANGE] = Field(3, ge=1, description="checkpoints kept beside the best")
    best_metric: Annotated[Literal["val/l1", "val/psnr", "val/ssim"], MAY_CHANGE] = Field(
        "val/l1", description="what makes a checkpoint the best"
    )
    stop_at: Annotated[int | None, MAY_CHANGE, SWITCH] = Field(
        None, gt=0, description="end early at this step, to be resumed: for queues with time limits"
    )
    resume: Annotated[bool, MAY_CHANGE, SWITCH] = Field(False, description="continue the run where it stopped")
    overwrite: Annotated[bool, MAY_CHANGE, SWITCH] = Field(False, description="start the run anew in its old folder")
    dry_run: Annotated[bool, MAY_CHANGE, SWITCH] = Field(
        False, description="one training and one validation step, no files"
    )

    @model_validator(mode="after")
    def _one_beginning(self) -> Self:
        if self.resume and self.overwrite:
            raise ValueError("--resume continues the run and --overwrite begins it anew: give one of them")
        if self.resume and self.dry_run:
            raise ValueError("--dry_run tries the options of a new run: leave --resume out")
        return self


class Pix2PixOptions(Record):
    """Options of train.py. Flags of junyanz/pytorch-CycleGAN-and-pix2pix are understood too: see docs/options.md."""

    model: Literal["pix2pix"] = Field("pix2pix", description="the method to train")
    data: DataOptions
    network: NetworkOptions = NetworkOptions()
    loss: LossOptions = LossOptions()
    features: FeatureOptions = FeatureOptions()
    train: TrainOptions = TrainOptions()
    test: TestTimeOptions = TestTimeOptions()
    run: RunOptions

    @model_validator(mode="after")
    def _features_are_compared(self) -> Self:
        check_features_used(self.features, self.loss)
        return self

    @model_validator(mode="after")
    def _batch_norm_is_there(self) -> Self:
        has_none = self.network.norm in ("instance", "none") or (
            self.network.norm == "auto" and self.train.batch_size == 1
        )
        if self.test.statistics == "running" and has_none:
            raise ValueError("--statistics running: only batch norm keeps running statistics; add --norm batch")
        if self.train.sync_batchnorm and has_none:
            raise ValueError("--sync_batchnorm: there is no batch norm to synchronise; add --norm batch")
        return self
