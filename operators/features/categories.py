"""From texts to the numbers of categories and of hashed n-grams, and from two places to their distance."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from zlib import crc32

__all__ = ["Grams", "bucket_of", "buckets_of", "grams", "haversine_km", "numbered"]

_WORD: Final = re.compile(r"\w+")
_EARTH_KM: Final = 6371.0088  # mean radius of the earth, as the IUGG defines it
Grams = tuple[float, tuple[int, ...]]
"""How many different buckets a text has, and as many as there are slots; `buckets` where there is none."""


def text_of(value: Any) -> str:
    """Return a field's value as vocabularies write it."""
    if value.__class__ is bool:
        return "true" if value else "false"
    return str(value)


def numbered(values: Sequence[str]) -> Callable[[Any], float]:
    """Return what gives values their numbers: in their order, then one for all others; NaN for none."""
    numbers: Mapping[Any, float] = {value: float(number) for number, value in enumerate(values)}
    get, others = numbers.get, float(len(values))

    def number(value: Any) -> float:
        # Most fields are texts: the exact class, asked first, spares them `text_of`.
        if value.__class__ is str:
            return get(value, others)
        return math.nan if value is None else get(text_of(value), others)

    return number


def bucket_of(value: str, buckets: int) -> int:
    """Return the bucket of a text, the same on every machine."""
    # Not `hash`, which differs from process to process. JSON can hold half a surrogate pair, which UTF-8
    # refuses.
    return crc32(value.encode("utf-8", "surrogatepass")) % buckets


def buckets_of(buckets: int) -> Callable[[Any], float]:
    """Return what gives values buckets by their digest; NaN for none."""

    def number(value: Any) -> float:
        return math.nan if value is None else float(bucket_of(text_of(value), buckets))

    return number


def grams(of: str, n: int, buckets: int, slots: int) -> Callable[[str | None], Grams]:
    """Return what gives a text the buckets of its n-grams.

    Parameters
    ----------
    of
        `words` or `characters`; capitals count as small letters, and what is between words as one space.
    n
        So many side by side.
    buckets
        That there are.
    slots
        Buckets of one text: the first ones, each once. Places that are left hold the bucket `buckets`.

    References
    ----------
    Weinberger, K. et al. (2009). Feature hashing for large scale multitask learning. ICML.
    """
    none: Grams = (math.nan, (buckets,) * slots)

    def hashed(text: str | None) -> Grams:
        if text is None:
            return none
        words = _WORD.findall(text.casefold())
        if of == "words":
            whole = [" ".join(words[at : at + n]) for at in range(len(words) - n + 1)]
        else:
            line = " ".join(words)
            whole = [line[at : at + n] for at in range(len(line) - n + 1)]
        found: dict[int, None] = {}
        for gram in whole:
            found[bucket_of(gram, buckets)] = None
            if len(found) == slots:
                break
        return float(len(found)), (*found, *(buckets,) * (slots - len(found)))

    return hashed


def haversine_km(latitude: float, longitude: float, to_latitude: float, to_longitude: float) -> float:
    """Return the distance of two places on the sphere, in kilometres; NaN where one is missing.

    References
    ----------
    Sinnott, R. W. (1984). Virtues of the haversine. Sky and Telescope 68 (2).
    """
    north, other = math.radians(latitude), math.radians(to_latitude)
    half = math.sin((other - north) / 2.0) ** 2
    half += math.cos(north) * math.cos(other) * math.sin(math.radians(to_longitude - longitude) / 2.0) ** 2
    # Rounding may take opposite places just above 1, where there is no arcsine; `min` would make 1 of NaN.
    return math.nan if half != half else 2.0 * _EARTH_KM * math.asin(math.sqrt(min(1.0, half)))
