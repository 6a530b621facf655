"""Limits on how large files may grow."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def file_sizes_limited(bytes_max: int) -> Iterator[tuple[int, int]]:
    """Let what is started inside make no larger files; gives the limit as it was."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, before[1]))
    try:
        yield before
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
