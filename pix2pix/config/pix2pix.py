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
    NormStats,
    OptionFlag,
    Palette,
    Precision,
    Preprocess,
    Range,
    RunName,
    Seed,
    Size,
    Tile,
)

MAY_CHANGE, SWITCH = OptionFlag.MAY_CHANGE, OptionFlag.SWITCH
TILES = "tile size when translating, with the same result; auto: chosen by memory; off: no tiles"
RANGES = "values that become -1 and 1; none: 0,255 for 8 bits, else measured per channel on train"


class DataOptions(Record):
    """The pairs and their preprocessing."""

    dataroot: FilePath = Field(description="the folder of pairs, or `generated` for the built-in dataset")
    direction: Literal["AtoB", "BtoA"] = Field("AtoB", description="which image of a pair is the source")
    preprocess: Preprocess = Field("resize_and_crop", description="how training pairs are resized and cropped")
    load_size: Size = Field((286, 286), description="size of pairs before the random crop")
    crop_size: Size = Field((256, 256), description="size of the random crop, and of test images")
    flip: bool = Field(True, description="mirror pairs at random with probability 0.5")
    val_fraction: float = Field(
        0.05, ge=0, le=0.5, description="share of train held out for validation, chosen by name, if there is no val"
    )
    max_dataset_size: int | None = Field(None, gt=0, description="maximum number of training pairs")
    source_kind: Literal["photo", "labels"] = Field("photo", description="labels: resizing does not mix colors")
    target_kind: Literal["photo", "labels", "lab"] = Field(
        "photo", description="labels: outputs have only colors of the palette; lab: color gray photos, L to ab"
    )
    source_onehot: Palette | None = Field(None, description="encode the source's labels as one channel per class")
    target_palette: Palette | None = Field(None, description="classes of the target labels; none: the colors of train")
    source_range: Range | None = Field(None, description=RANGES)
    target_range: Range | None = Field(None, description=RANGES)
    input_nc: Channels | None = Field(None, description="channels of the source; none: those of the images")
    output_nc: Channels | None = Field(None, description="channels of the target; none: those of the images")
    augment: Augmentations = Field((), description="additional albumentations transforms, see docs/datasets.md")
    max_pixels: Annotated[int, MAY_CHANGE] = Field(2**26, gt=0, description="larger images are refused before decoding")
    skip_bad: Annotated[bool, MAY_CHANGE] = Field(
        False, description="skip faulty images instead of refusing the dataset"
    )
    check: Annotated[bool, MAY_CHANGE, SWITCH] = Field(True, description="validate every pair before the first step")
    num_workers: Annotated[int, MAY_CHANGE] = Field(
        2, ge=0, description="worker processes that load images; 0: load in the main process"
    )
    loader_timeout: Annotated[float, MAY_CHANGE] = Field(
        60, gt=0, description="seconds to wait for a batch of the workers before the run ends with an error"
    )
    cache: Annotated[Literal["auto", "ram", "disk", "off"], MAY_CHANGE] = Field(
        "auto", description="where resized pairs are cached; auto: GPU, memory or disk, where they fit"
    )
    cache_gb: Annotated[float, MAY_CHANGE] = Field(
        2, gt=0, le=10**6, description="maximum GiB of memory of the cache of each process"
    )

    @model_validator(mode="after")
    def _check_cache(self) -> Self:
        if self.cache == "disk" and self.preprocess != "resize_and_crop":
            raise ValueError(
                f"--cache disk needs pairs of one size, which --preprocess {self.preprocess} may not give: "
                "choose --cache ram, or --preprocess resize_and_crop"
            )
        return self

    @model_validator(mode="after")
    def _check_kinds(self) -> Self:
        if self.skip_bad and not self.check:
            raise ValueError("--skip_bad needs to read all images first: leave --check false out")
        if self.source_onehot is not None and self.source_range is not None:
            raise ValueError("--source_onehot has no value range: leave --source_range out")
        if self.target_palette is not None and self.target_kind != "labels":
            raise ValueError("--target_palette needs --target_kind labels: add it")
        if self.target_kind != "lab":
            return self
        if self.source_kind != "photo" or self.source_onehot is not None:
            raise ValueError(
                "--target_kind lab translates L to a and b of a photo: leave --source_kind and --source_onehot out"
            )
        if self.direction != "AtoB" or self.input_nc is not None or self.output_nc is not None:
            raise ValueError("--target_kind lab translates L to ab: leave --direction, --input_nc and --output_nc out")
        return self

    @model_validator(mode="after")
    def _check_crop(self) -> Self:
        (load_h, load_w), (crop_h, crop_w) = self.load_size, self.crop_size
        fits_height = crop_h <= load_h or self.preprocess != "resize_and_crop"
        if self.preprocess in ("resize_and_crop", "scale_width_and_crop") and not (fits_height and crop_w <= load_w):
            raise ValueError(
                f"crop_size {crop_h}x{crop_w} is larger than load_size {load_h}x{load_w}: raise --load_size, "
                "lower --crop_size, or use --preprocess crop to crop without resizing"
            )
        return self


class NetworkOptions(Record):
    """The generator G and the discriminator D."""

    generator: Generator = Field(
        "unet_256", description="G; unet_N downsamples N pixels to 1x1; encoder_decoder has no skips"
    )
    ngf: int = Field(64, gt=0, le=4096, description="channels of G's first layer")
    ndf: int = Field(64, gt=0, le=4096, description="channels of D's first layer")
    upsample: Literal["transpose", "nearest", "bilinear"] = Field("transpose", description="upsampling in G's decoder")
    norm: Literal["auto", "batch", "instance", "none"] = Field(
        "auto", description="normalization; auto: batch if batch_size is above 1, else instance"
    )
    use_dropout: bool = Field(True, description="dropout 0.5 in G: its only noise")
    patch: Literal[1, 16, 34, 70, 142, 286] = Field(70, description="receptive field of D in pixels")
    init_type: Literal["normal", "xavier", "kaiming", "orthogonal"] = Field("normal", description="initial weights")
    init_gain: float = Field(0.02, gt=0, description="scale of the initial weights; normal: their standard deviation")


class TrainOptions(Record):
    """Length of training and the optimizer."""

    batch_size: int = Field(1, gt=0, description="pairs per step and process")
    n_epochs: int = Field(100, ge=0, description="epochs at the full learning rate")
    n_epochs_decay: int = Field(100, ge=0, description="epochs in which the rate then decays")
    steps: Annotated[int | None, MAY_CHANGE] = Field(
        None, gt=0, description="total steps, in the proportion n_epochs : n_epochs_decay; none: those of the epochs"
    )
    lr: float = Field(2e-4, gt=0, description="Adam's learning rate")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's beta1")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's beta2")
    lr_policy: Literal["linear", "constant"] = Field("linear", description="learning rate in the decay epochs")
    sync_batchnorm: Annotated[bool, MAY_CHANGE] = Field(
        False, description="BatchNorm normalizes over the pairs of all processes; CUDA GPUs only"
    )
    ema: float | None = Field(
        None, gt=0, lt=1, description="decay of the exponential moving average of G's weights; none: off"
    )

    @model_validator(mode="after")
    def _check_epochs(self) -> Self:
        if self.n_epochs + self.n_epochs_decay == 0:
            raise ValueError("no epoch to train: --n_epochs or --n_epochs_decay must be above 0")
        return self


class TestTimeOptions(Record):
    """Settings at test time, stored in the checkpoint; test.py can override them."""

    __test__ = False  # not a test case for pytest

    norm_stats: NormStats = Field(
        "image",
        description="statistics of the norms: of the image, as in the paper, or running ones of training (batch norm)",
    )
    dropout: Dropout = Field(
        "on", description="dropout when translating, as in the paper; seeded by --seed and file name"
    )
    tile: Annotated[Tile, MAY_CHANGE, SWITCH] = Field("auto", description=TILES)


class RunOptions(Record):
    """Folders, device and logging."""

    # A run may be resumed in a folder that was moved or renamed.
    name: Annotated[RunName, MAY_CHANGE] = Field(description="name of the run, its folder in checkpoints_dir")
    checkpoints_dir: Annotated[FilePath, MAY_CHANGE] = Field("checkpoints", description="folder of all runs")
    seed: Seed = Field(0, description="random seed: the same seed gives the same run")
    device: Annotated[Device, MAY_CHANGE] = Field("auto", description="device; auto: cuda, else mps, else cpu")
    precision: Precision = Field("fp32", description="precision of the networks; losses are always fp32")
    fast: Annotated[Fast, MAY_CHANGE] = Field(
        "auto", description="speed-ups, see docs/performance.md; auto: those that pay"
    )
    compile: Annotated[bool, MAY_CHANGE] = Field(False, description="compile the networks: slower start, then faster")
    log_every: Annotated[int, MAY_CHANGE] = Field(50, gt=0, description="steps between logged losses")
    val_every: Annotated[int, MAY_CHANGE] = Field(1000, gt=0, description="steps between validations")
    save_every: Annotated[int, MAY_CHANGE] = Field(1000, gt=0, description="steps between checkpoints")
    keep: Annotated[int, MAY_CHANGE] = Field(3, ge=1, description="number of checkpoints kept, in addition to the best")
    best_metric: Annotated[Literal["val/l1", "val/psnr", "val/ssim"], MAY_CHANGE] = Field(
        "val/l1", description="metric that selects the best checkpoint"
    )
    stop_at_step: Annotated[int | None, MAY_CHANGE, SWITCH] = Field(
        None, gt=0, description="stop at this step, to be resumed: for queues with time limits"
    )
    resume: Annotated[bool, MAY_CHANGE, SWITCH] = Field(False, description="continue the run where it stopped")
    overwrite: Annotated[bool, MAY_CHANGE, SWITCH] = Field(
        False, description="delete the run in this folder and start again"
    )
    dry_run: Annotated[bool, MAY_CHANGE, SWITCH] = Field(
        False, description="make one training and one validation step, write no files"
    )

    @model_validator(mode="after")
    def _check_start(self) -> Self:
        if self.resume and self.overwrite:
            raise ValueError("--resume continues the run and --overwrite restarts it: give one of them")
        if self.resume and self.dry_run:
            raise ValueError("--dry_run is for new runs: leave --resume out")
        return self


class Pix2PixOptions(Record):
    """Options of train.py. Flags of junyanz/pytorch-CycleGAN-and-pix2pix are accepted too: see docs/options.md."""

    model: Literal["pix2pix"] = Field("pix2pix", description="the method to train")
    data: DataOptions
    network: NetworkOptions = NetworkOptions()
    loss: LossOptions = LossOptions()
    features: FeatureOptions = FeatureOptions()
    train: TrainOptions = TrainOptions()
    test: TestTimeOptions = TestTimeOptions()
    run: RunOptions

    @model_validator(mode="after")
    def _check_features(self) -> Self:
        check_features_used(self.features, self.loss)
        return self

    @model_validator(mode="after")
    def _check_batch_norm(self) -> Self:
        has_none = self.network.norm in ("instance", "none") or (
            self.network.norm == "auto" and self.train.batch_size == 1
        )
        if self.test.norm_stats == "running" and has_none:
            raise ValueError("--norm_stats running: only batch norm has running statistics; add --norm batch")
        if self.train.sync_batchnorm and has_none:
            raise ValueError("--sync_batchnorm: there is no batch norm to synchronize; add --norm batch")
        return self
