"""What metrics are called in tables and pages: their order there, and which of two values is the better one."""

_ORDER = (
    *("L1", "L2", "PSNR", "SSIM", "LPIPS", "FID", "KID", "Frechet", "kernel", "histogram"),
    *("pixel accuracy", "class accuracy", "class IoU"),
)
_LOWER_IS_BETTER = ("L1", "L2", "LPIPS", "FID", "KID", "Frechet", "kernel")  # what the names of such metrics begin with


def is_lower_better(metric: str) -> bool:
    """Tell whether smaller values of a metric are better, by its name."""
    return metric.startswith(_LOWER_IS_BETTER)


def place(metric: str) -> int:
    """Return the place of a metric among others, to sort by; those that are not known come last."""
    return next((place for place, begin in enumerate(_ORDER) if metric.startswith(begin)), len(_ORDER))
