"""Names of options, values and presets in version 0.1, and what they are called now.

Command lines with old names work in version 0.2, with one line that gives the new name. Stored options, presets and
experiments with old names are loaded silently, in every version.
"""

from collections.abc import Mapping

OPTIONS: Mapping[str, str] = {
    "statistics": "norm_stats",
    "units": "normalize_losses",
    "weights_flavour": "weights_format",
    "lpips_flavour": "lpips_format",
    "distance_flavour": "distance_format",
    "scales": "pyramid_levels",
    "stop_at": "stop_at_step",
    "keep_colours": "keep_colors",
}
GROUPS: Mapping[str, str] = {"optimise": "optimize", "stylising": "style_request"}
VALUES: Mapping[str, Mapping[str, str]] = {
    "model": {"conditional": "multi_style"},
    "fast": {"memory": "malloc", "products": "gemm", "minimal": "winograd"},
}
PRESETS: Mapping[str, str] = {
    "options/conditional.yaml": "multi_style.yaml",
    "options/colourisation.yaml": "colorization.yaml",
    "experiments/colour.yaml": "color.yaml",
}


def rename_value(option: str, value: object) -> object:
    """Return a value of an option, or each member of a list, under its new name."""
    names = VALUES.get(option, {})
    if isinstance(value, list):
        return [rename_value(option, part) for part in value]
    if isinstance(value, str) and names:
        return ",".join(names.get(part, part) for part in value.split(","))
    return value
