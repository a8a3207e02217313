"""Which of two values of a metric is the better one."""

LOWER_IS_BETTER = ("L1", "L2", "LPIPS", "FID", "KID", "Frechet", "kernel")  # what the names of such metrics begin with


def is_lower_better(metric: str) -> bool:
    """Tell whether smaller values of a metric are better, by its name in tables and pages."""
    return metric.startswith(LOWER_IS_BETTER)
