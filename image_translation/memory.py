"""Memory of the machine: checks before anything large is allocated."""

import os

from image_translation.errors import ImageTranslationError, UsageError


def physical_memory() -> int | None:
    """Return the memory of the machine in bytes; None where the operating system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return None


def require_memory(size: float, what: str, error: type[ImageTranslationError] = UsageError) -> None:
    """Raise an error if the machine has not enough memory.

    Parameters
    ----------
    size
        Bytes that will be needed.
    what
        What needs them: the start of the message.
    error
        Type of the error.
    """
    available = physical_memory()
    if available is not None and size > available:
        msg = f"{what}: needs {size / 2**30:.3g} GiB of memory; this machine has {available / 2**30:.3g} GiB"
        raise error(msg)
