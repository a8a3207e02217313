"""The pictures that trained style networks are compared on: whole, as validation shows them."""

from torch import Tensor

from pix2pix.data.photo_batches import evaluation_photos
from pix2pix.data.photos import PhotoData, PhotoSet, reopen_photo_data
from pix2pix.errors import UserError
from pix2pix.options import ContentStyleOptions, PhotoOptions


def photographs(data: PhotoOptions, dataroot: str | None, size: int | None, limit: int | None) -> list[Tensor]:
    """Return the first photos (1, 3, H, W) that a run held out for validation, or those of another folder tree.

    `size` is their shorter side; None: that of the run's crop.

    Raises:
        UserError: there are none, or one cannot be read.
    """
    if dataroot is None:
        photos = reopen_photo_data(data, {}).val
    else:
        photos = reopen_photo_data(PhotoOptions(dataroot=dataroot, val_fraction=0), {}).train
    if not len(photos):
        raise UserError("the run held out no photos for validation: give others by --dataroot")
    return _whole(photos, size or min(data.crop_size), limit)


def paintings(data: ContentStyleOptions, styles: str | None, size: int | None, limit: int | None) -> list[Tensor]:
    """Return the first style pictures of a run, or of another folder tree, sized as the photos.

    Raises:
        UserError: there are none, or one cannot be read.
    """
    found = reopen_photo_data(ContentStyleOptions(dataroot="generated", styles=styles or data.styles), {})
    assert found.styles is not None
    return _whole(found.styles, size or min(data.crop_size), limit)


def _whole(pictures: PhotoSet, side: int, limit: int | None) -> list[Tensor]:
    sized = PhotoOptions(dataroot="-", load_size=side, crop_size=(side, side))
    return [batch.content for batch in evaluation_photos(PhotoData(pictures, pictures, None, {}), sized, limit=limit)]
