"""A predicted movie, smoothed over time: the filters of the command, on arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError
from image_translation.staining.methods import RECOMMENDED
from image_translation.staining.options import make_filter
from image_translation.temporal.filter import apply

FROM_PHASE = ("motion", "causal")


def smooth(
    stain: NDArray[Any],
    phase: NDArray[Any] | None = None,
    method: str = RECOMMENDED,
    *,
    valid: Sequence[bool] | NDArray[np.bool_] | None = None,
    **parameters: int,
) -> NDArray[np.float32]:
    """Smooth a predicted movie over time.

    Parameters
    ----------
    stain
        Prediction frame by frame: (T, Y, X), (T, C, Y, X) or (T, C, Z, Y, X), any real dtype.
    phase
        Label-free images from which it was predicted, (T, Y, X), or (T, Z, Y, X) for stacks, in any unit. Required by
        ``motion`` and ``causal``, which follow the motion in it.
    method
        ``motion`` (recommended), ``savgol``, ``window``, ``median`` or ``causal``.
    valid
        Whether each of the T frames is valid, (T,), or (T, Z) for stacks; if not given, those are whose pixels are all
        finite. Invalid frames are NaN in the result, and not averaged into others.
    **parameters
        Of the method: ``window`` of all but ``causal``, in frames; ``polyorder`` of ``savgol``; ``lag`` of ``causal``.

    Returns
    -------
    ndarray
        Smoothed movie of the same axes, float32; with one frame fewer for ``window`` with a window of 2, its default.

    Raises
    ------
    UsageError
        If the method or a parameter is unknown, the shapes do not fit, the phase is missing, or there are too few valid
        frames.
    """
    needed = make_filter(method, **parameters).min_frames
    movie = _five_axes(np.asarray(stain))
    n_frames, _, depth, *size = movie.shape
    phases = None if phase is None else _phase(np.asarray(phase), (n_frames, depth, *size))
    if phases is None and method in FROM_PHASE:
        raise UsageError(f"{method} follows the motion in the phase; give the phase, or choose savgol")
    finite: Any = np.isfinite(movie).all(axis=(1, 3, 4))
    usable: Any = finite if valid is None else _valid(np.asarray(valid), (n_frames, depth))
    if phases is not None and method in FROM_PHASE:
        usable = usable & np.isfinite(phases).all(axis=(2, 3))
    planes = []
    for z in range(depth):
        if 0 < usable[:, z].sum() < needed:
            raise UsageError(
                f"{method} needs {needed} valid frames, and there are {usable[:, z].sum()} of {n_frames}; choose a "
                "smaller window or another method"
            )
        own = None if phases is None else phases[:, z]
        planes.append(apply(make_filter(method, **parameters), movie[:, :, z], usable[:, z].tolist(), phase=own))
    smoothed = np.stack(planes, axis=2)
    return smoothed.reshape(len(smoothed), *np.shape(stain)[1:])


def _five_axes(stain: NDArray[Any]) -> NDArray[np.float32]:
    if stain.ndim not in (3, 4, 5) or not stain.size or stain.dtype.kind not in "buif":
        raise UsageError(
            f"the stain has shape {stain.shape} and type {stain.dtype}; give real numbers (T, Y, X), (T, C, Y, X) or "
            "(T, C, Z, Y, X)"
        )
    movie = stain.astype(np.float32, copy=False)
    n_frames, size = stain.shape[0], stain.shape[-2:]
    channels = stain.shape[1] if stain.ndim > 3 else 1
    return movie.reshape(n_frames, channels, -1, *size)


def _phase(phase: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float32]:
    given = phase.shape
    if given not in {shape, (shape[0], *shape[2:]) if shape[1] == 1 else shape}:
        wanted = shape if shape[1] > 1 else (shape[0], *shape[2:])
        raise UsageError(f"the phase has shape {given}; the stain needs {wanted}: T, {'Z, ' * (shape[1] > 1)}Y, X")
    return phase.astype(np.float32, copy=False).reshape(shape)


def _valid(valid: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.bool_]:
    if valid.shape not in {shape, shape[:1]}:
        raise UsageError(f"valid has shape {valid.shape}; the stain needs {shape[:1]}, one for each frame")
    return np.broadcast_to(valid.astype(bool).reshape(shape[0], -1), shape)
