"""What is odd in a data set without being wrong: pairs that teach nothing, leaks, labels spoilt by compression."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from pix2pix.data.survey import Seen
from pix2pix.images import jpeg_quality, shown

PLAIN = 0.95  # share of one colour from which a picture shows nothing
LEADING = 0.5  # share of one colour that is odd where that colour hardly ever leads
SELDOM = 0.01  # of the images
USUAL = 0.1  # of the images
FEW = 64  # distinct colours of a label map, at most
_FEWER_BYTES = 0.85
_QUALITIES_APART = 5

Phases = Mapping[str, Sequence[Seen]]


def oddities(phases: Phases) -> list[str]:
    """Sentences about what a user may want to know of sound pairs."""
    return [*_plain(phases), *_twice(phases), *_labels(phases), *_compressed_otherwise(phases)]


def _sound(phases: Phases) -> list[Seen]:
    return [one for seen in phases.values() for one in seen if one.fault is None]


def _plain(phases: Phases) -> list[str]:
    """Images of one colour, or mostly of one that leads in hardly any other."""
    found = []
    sound = _sound(phases)
    for place, letter in enumerate("AB"):
        looks = [one.sides[place].look for one in sound]
        leads = Counter(look.colour for look in looks if look)
        may_be_plain = sum(look.share >= PLAIN for look in looks if look) > USUAL * len(sound)  # as drawn edges are
        for one, look in zip(sound, looks, strict=True):
            if look is None:
                continue
            is_odd = look.share >= LEADING and leads[look.colour] <= SELDOM * len(sound)
            if is_odd or (look.share >= PLAIN and not may_be_plain):
                found.append(f"{one.places[place]}: {look.share:.0%} of {letter} is one colour")
    return found


def _twice(phases: Phases) -> list[str]:
    """Files of equal content: between phases, scores flatter; inside one, a pair just counts more."""
    files: dict[bytes, dict[str, str]] = defaultdict(dict)
    for phase, seen in phases.items():
        for one in seen:
            for place in dict.fromkeys(one.files) if one.fault is None else ():
                files[hashlib.sha256(Path(place).read_bytes()).digest()][shown(place)] = phase
    found = []
    for same in files.values():
        if len(same) > 1:
            leak = ": scores will flatter" if len(set(same.values())) > 1 else ""
            found.append(f"{' and '.join(same)} are the same file{leak}")
    return found


def _labels(phases: Phases) -> list[str]:
    """A side that looks like label maps, which options treat as such, above all where colours are mixed."""
    found = []
    sound = _sound(phases)
    for place, letter in enumerate("AB"):
        looks = [look for one in sound if (look := one.sides[place].look)]
        if not looks:
            continue
        distinct = median(look.distinct for look in looks)
        palette, count = Counter(look.palette for look in looks).most_common(1)[0]
        if palette is None or count < len(looks) / 2:
            if distinct <= FEW:
                found.append(
                    f"{letter} has few colours (about {distinct:.0f}), as label maps have: --source_kind labels or "
                    "--target_kind labels keep them from being mixed"
                )
        elif distinct > FEW:
            found.append(
                f"{letter} looks like label maps in the colours of `{palette}`, mixed by JPEG or resizing: as the "
                f"source --source_onehot {palette}, as the target --target_kind labels --target_palette {palette} "
                "clean them"
            )
    return found


def _compressed_otherwise(phases: Phases) -> list[str]:
    """Phases whose JPEG files were saved at another quality, or hold far fewer bytes a pixel: compressed twice?"""
    qualities, sizes = {}, {}
    for phase, seen in phases.items():
        sound = [one for one in seen if one.fault is None and one.files]
        chosen = sound[:: max(len(sound) // 100, 1)]
        known = {one.files[-1]: quality for one in chosen if (quality := jpeg_quality(one.files[-1])) is not None}
        if known:
            qualities[phase] = median(known.values())
            pixels = {one.files[-1]: one.sides[-1].shape[0] * one.sides[-1].shape[1] for one in chosen}
            sizes[phase] = median(path.stat().st_size / pixels[path] for path in known)
    if not qualities:
        return []
    if max(qualities.values()) - min(qualities.values()) >= _QUALITIES_APART:
        said = ", ".join(f"{phase} about {quality:.0f}" for phase, quality in qualities.items())
        return [f"the JPEG quality differs between phases: {said}"]
    most = max(sizes, key=lambda phase: sizes[phase])
    return [
        f"{phase}: its JPEG files hold {1 - sizes[phase] / sizes[most]:.0%} fewer bytes a pixel than those of {most}, "
        "at the same quality: plainer pictures, or compressed twice"
        for phase in sizes
        if sizes[phase] < _FEWER_BYTES * sizes[most]
    ]
