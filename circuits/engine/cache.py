"""Compiled programs kept between runs, so that compiling is paid once."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import jax

from circuits.files import cache_root

log = logging.getLogger("circuits")


def use_compilation_cache() -> Path | None:
    """Gives the directory where JAX keeps what it compiles from now on, or None if it cannot be written.

    The directory is `jax` under CIRCUITS_CACHE if that is set, else under the user's cache directory.
    Without a writable one nothing breaks: programs are compiled anew in every run.
    """
    place = cache_root() / "jax"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as cause:
        log.info("Compiled programs are not kept: %s cannot be written (%s).", place, cause.strerror)
        return None
    settings = {
        "jax_compilation_cache_dir": str(place),
        "jax_persistent_cache_min_compile_time_secs": 0,  # most of our programs compile in under a second
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    for name, value in settings.items():
        jax.config.update(name, value)  # type: ignore[no-untyped-call]
    return place
