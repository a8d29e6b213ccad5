"""Causes of the change from a frame to the next: linear regression of what remains along the motion.

The images that a cause adds are known to first order: a gain adds the image itself, a lateral shift its gradient, a
defocus its Laplacian, a halo its low frequencies, and an uneven illumination long waves.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from math import comb

import cv2
import numpy as np
from numpy.typing import NDArray

from image_translation.metrics.motion import REDUCTION, MotionEstimator

CAUSES = ("gain", "background", "shift", "focus", "halo")

FOCUS_UNIT = 1.7  # square pixels: coefficient of the Laplacian for a depth of field, of simulated movies
HALO_UNIT = -0.4  # coefficient of the low frequencies for a relative change by 1, of simulated movies of halo 0.5
SERIES: Mapping[str, tuple[str, list[int]]] = {
    "gain": ("gain", [0]),
    "lateral": ("shift", [0, 1]),
    "focus": ("focus", [0]),
    "focal tilt": ("focus", [1, 2]),
    "halo": ("halo", [0]),
}
"""Causes whose fluctuation is a few numbers a frame: their part of the change, and the indices of its coefficients."""

_MARGIN = 8  # pixels at the border that are left out, as interpolation and flow are worse there
_FOCUS_SIGMA = 1.5  # pixels, of the Laplacian of a Gaussian: finer structure is mostly noise
_FINE_FOCUS_SIGMA = 0.7  # pixels, of a second one: strong defocus does not change all frequencies alike
_HALO_SIGMA = 24.0  # pixels, 1.2 times the radius of a simulated cell, as in ``simulation.optics``
_SHIFT_HISTORY = 16  # frames from which the persistent part of a common shift is estimated
_MAX_JITTER = 4.0  # pixels; a larger common shift is motion
_WAVES = 4  # half waves of the background along each side of the field

Image = NDArray[np.float32]
Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Change:
    """Change from a frame to the next along the motion, by cause.

    Attributes
    ----------
    first, total
        The frame, and the next frame minus it, both warped half way, (Y, X) float32.
    flow, valid
        Motion from the frame to the next, (2, Y, X) float32 in pixels, and where both can be compared, (Y, X) bool.
    parts
        What each cause explains of it, (Y, X) float32 each.
    shares
        Share of each cause in the variance of the change.
    coefficients
        Relative gain; shift (dy, dx) in pixels; defocus of the middle of the field, and of its edges (y, x), and change
        of the halo, in the units of ``simulation.spec.MovieSpec``.
    contrast
        Mean difference of cells and background, in the unit of the frames.
    speed
        Mean length of the flow inside cells, in pixels.
    """

    first: Image
    total: Image
    flow: Image
    valid: NDArray[np.bool_]
    parts: dict[str, Image]
    shares: dict[str, float]
    coefficients: dict[str, Vector]
    contrast: float
    speed: float

    @property
    def rest(self) -> Image:
        """What no cause explains, (Y, X) float32."""
        return np.asarray(self.total - sum(self.parts.values()), np.float32)


def changes(frames: Iterable[Image]) -> Iterator[Change]:
    """Explain the changes of a movie of frames (Y, X), float32."""
    estimator = MotionEstimator()
    before, shifts = None, deque[Vector](maxlen=_SHIFT_HISTORY)
    for frame in frames:
        motion = estimator.add(frame[np.newaxis])
        if before is not None and motion is not None:
            flow = _enlarged(motion.flow, frame.shape)
            flow += _jitter_correction(flow, before, shifts)[:, np.newaxis, np.newaxis]
            events = cv2.resize(motion.events.view(np.uint8), frame.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
            yield explain(before, frame, flow, ~events & _inner(frame.shape))
        before = frame


def _jitter_correction(flow: Image, before: Image, shifts: deque[Vector]) -> Image:
    """Return the shift (2,) that replaces the common shift of a flow by its persistent part when added.

    What is left in the change is the lateral jitter; that cells accelerate together is not told from it.
    """
    contrast = np.abs(cv2.GaussianBlur(before, (0, 0), 2) - cv2.GaussianBlur(before, (0, 0), 12))
    shift = np.median(flow[:, contrast > np.median(contrast)], axis=1)
    shifts.append(shift)
    persistent = np.median(shifts, axis=0)
    spread = 1.25 * np.abs(np.array(shifts) - persistent).mean(axis=0)
    significant = (len(shifts) > 3) & (np.abs(persistent) > 3 * 1.25 * spread / np.sqrt(len(shifts)))
    correction = np.where(significant, persistent, 0) - shift
    return np.where(np.abs(correction) > _MAX_JITTER, 0, correction).astype(np.float32)


def explain(before: Image, after: Image, flow: Image, valid: NDArray[np.bool_]) -> Change:
    """Explain the change from a frame to the next by the causes.

    Shares are averaged over all orders in which the causes can be added to the regression (Lindeman, Merenda and Gold
    1980; Gromping 2006, Relative importance for linear regression in R, J. Stat. Softw. 17(1)): they do not depend on
    an order, and add up to the explained share.

    Parameters
    ----------
    before, after
        The frames, (Y, X) float32.
    flow
        Motion from the frame to the next, (2, Y, X) float32, (dy, dx) in pixels.
    valid
        Pixels to compare, (Y, X) bool.
    """
    # Both frames are warped half way, so that interpolation blurs both alike: blur would be taken for defocus.
    first, second = half_way(before, after, flow)
    image, total = (first + second) / 2, second - first
    groups = dict(_groups(image))
    columns = [regressor for group in groups.values() for regressor in group]
    owners = np.array([name for name, group in groups.items() for _ in group])
    matrix = np.stack([column[valid] for column in columns]).astype(np.float64)
    matrix -= matrix.mean(axis=1, keepdims=True)
    target = total[valid].astype(np.float64)
    target -= target.mean()
    gram, moments = matrix @ matrix.T, matrix @ target
    ridge = 1e-9 * np.diag(np.diag(gram))
    coefficients = np.linalg.solve(gram + ridge, moments)
    parts = {
        name: np.sum([c * column for c, column, o in zip(coefficients, columns, owners, strict=True) if o == name], 0)
        for name in CAUSES
    }
    parts["background"] = parts["background"] + (total - sum(parts.values()))[valid].mean()
    units = {"focus": FOCUS_UNIT, "halo": HALO_UNIT}
    of = {name: coefficients[owners == name] / units.get(name, 1.0) for name in CAUSES if name != "background"}
    cells, contrast = _cells(image)
    return Change(
        first, total, flow, valid, {name: part.astype(np.float32) for name, part in parts.items()},
        _shares(gram + ridge, moments, owners, float(target @ target)), of, contrast,
        float(np.hypot(*flow)[cells & valid].mean()),
    )  # fmt: skip


def half_way(before: Image, after: Image, flow: Image) -> tuple[Image, Image]:
    """Warp a frame and the next one, (Y, X) each, half way along the flow (2, Y, X)."""
    return _warp(before, -flow / 2), _warp(after, flow / 2)


def attribute(change: Image, effects: Mapping[str, Image], valid: NDArray[np.bool_]) -> dict[str, float]:
    """Return the share of each effect in a change: its covariance with the change, relative to the variance of that.

    The effects keep their size: unlike in a regression, one of the right shape and negligible size has no share.

    Parameters
    ----------
    change
        The change, (Y, X) float32.
    effects
        What should add up to it, (Y, X) float32 each.
    valid
        Pixels to compare, (Y, X) bool.
    """
    target = change[valid].astype(np.float64)
    target -= target.mean()
    return {name: float(effect[valid] @ target / (target @ target)) for name, effect in effects.items()}


class Strengths:
    """Strength of each cause in a movie, from its changes in order, in the units of ``simulation.spec.MovieSpec``.

    A cause that is independent from frame to frame by a variance v has changes whose covariance with the next change is
    -v. Errors of the fit, which are independent from change to change, and a motion that persists have none.
    """

    def __init__(self) -> None:
        self._coefficients: list[dict[str, Vector]] = []
        self._products: dict[str, list[float]] = {"background": [], "noise": []}
        self._shares: list[dict[str, float]] = []
        self._sizes: list[tuple[float, float, float]] = []  # contrast, speed, standard deviation of the change
        self._variances: list[tuple[float, float]] = []  # of the background and of the rest
        self._last: Change | None = None

    def add(self, change: Change) -> None:
        """Add the next change."""
        self._coefficients.append(change.coefficients)
        self._shares.append(change.shares)
        deviation = float(change.total[change.valid].std())
        self._sizes.append((change.contrast, change.speed, deviation))
        parts = change.parts["background"], change.rest
        self._variances.append((float(parts[0][change.valid].var()), float(parts[1][change.valid].var())))
        if (last := self._last) is not None:
            both = last.valid & change.valid
            pair = last.parts["background"], parts[0]
            self._products["background"].append(_product(*pair, both))
            # The rest of the last change is warped forward to the common frame, that of this one back to it.
            warped = _warp(last.rest, -last.flow / 2), _warp(parts[1], change.flow / 2)
            self._products["noise"].append(_product(*warped, both))
        self._last = change

    @property
    def shares(self) -> dict[str, float]:
        """Mean share in the variance of the change: of each cause, of noise that is new in each frame, of the rest."""
        shares = {name: float(np.mean([each[name] for each in self._shares])) for name in CAUSES}
        rest = 1 - sum(shares.values())
        variance = np.mean([size[2] ** 2 for size in self._sizes])
        shares["noise"] = min(rest, max(0.0, -2 * float(np.mean(self._products["noise"])) / variance))
        return shares | {"rest": rest - shares["noise"]}

    @property
    def change(self) -> float:
        """Standard deviation of the change, relative to the contrast of the cells."""
        return float(np.mean([size[2] for size in self._sizes])) / self._contrast

    @property
    def speed(self) -> float:
        """Mean motion in pixels per frame."""
        return float(np.mean([size[1] for size in self._sizes]))

    def table(self) -> dict[str, tuple[float, float, float]]:
        """Return the strength, its standard error, and its upper limit from the variance of the changes, by cause.

        Half of the variance of a fluctuation of `simulation.flicker` is independent from frame to frame; all of that of
        its background and noise.
        """
        results: dict[str, tuple[float, float, float]] = {}
        for name in SERIES:
            series = self.series(name)
            results[name] = *jitter(series), float((series - series.mean(axis=0)).std())
        for number, (name, found) in enumerate(self._products.items()):
            limit = np.sqrt(np.mean([variances[number] for variances in self._variances]) / 2)
            results[name] = *_root(-np.array(found) / self._contrast**2), float(limit / self._contrast)
        return results

    def series(self, cause: str) -> Vector:
        """Return the coefficients of a cause of `SERIES` in each change, (T - 1, N)."""
        part, columns = SERIES[cause]
        return np.array([each[part][columns] for each in self._coefficients])

    @property
    def _contrast(self) -> float:
        return float(np.mean([size[0] for size in self._sizes]))


def _groups(image: Image) -> Iterator[tuple[str, list[Image]]]:
    """Yield the images (Y, X) that each cause adds to first order."""
    height, width = image.shape
    level = image - np.median(image)
    yield "gain", [level]
    rows, columns = (np.cos(np.pi * np.arange(_WAVES + 1)[:, None] * (np.arange(n) + 0.5) / n) for n in image.shape)
    waves = [np.outer(row, column).astype(np.float32) for row in rows for column in columns]
    yield "background", waves[1:]
    fine = _blur(image, 0.7)
    yield "shift", [-slope for slope in np.gradient(fine)]
    laplacian = np.asarray(cv2.Laplacian(_blur(image, _FOCUS_SIGMA), cv2.CV_32F), np.float32)
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in (height, width))
    fine_laplacian = np.asarray(cv2.Laplacian(_blur(image, _FINE_FOCUS_SIGMA), cv2.CV_32F), np.float32)
    # Orthogonal, so that the coefficient of the first does not depend on it.
    fine_laplacian -= laplacian * np.float32(np.vdot(fine_laplacian, laplacian) / np.vdot(laplacian, laplacian))
    # The focal plane may tilt.
    yield "focus", [laplacian, laplacian * y[:, None], laplacian * x, fine_laplacian]
    yield "halo", [_blur(level, _HALO_SIGMA)]


def _shares(gram: Vector, moments: Vector, owners: NDArray[np.str_], energy: float) -> dict[str, float]:
    names = list(dict.fromkeys(owners.tolist()))

    def explained(subset: frozenset[str]) -> float:
        use = np.isin(owners, list(subset))
        if not use.any():
            return 0.0
        return float(moments[use] @ np.linalg.solve(gram[np.ix_(use, use)], moments[use])) / energy

    subsets = [frozenset(s) for n in range(len(names) + 1) for s in combinations(names, n)]
    known = {subset: explained(subset) for subset in subsets}
    return {
        name: sum(
            (known[s | {name}] - known[s]) / (len(names) * comb(len(names) - 1, len(s)))
            for s in subsets
            if name not in s
        )
        for name in names
    }


def _cells(image: Image) -> tuple[NDArray[np.bool_], float]:
    """Return the mask of cells by Otsu's threshold, (Y, X), and their mean contrast to the background."""
    smooth = _blur(image, 2.0)
    low, high = np.percentile(smooth, (0.1, 99.9))
    scaled = np.clip((smooth - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    _, mask = cv2.threshold(scaled, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    cells = mask > 0
    return cells, float(abs(image[cells].mean() - image[~cells].mean()))


def jitter(series: Vector) -> tuple[float, float]:
    """Return the strength of a fluctuation from its changes (T - 1, N), and its standard error."""
    series = series - series.mean(axis=0)
    return _root(-2 * (series[1:] * series[:-1]).mean(axis=1))


def _root(variances: Vector) -> tuple[float, float]:
    """Return the root of a mean variance, 0 if it is negative, and its standard error."""
    mean, error = float(variances.mean()), float(variances.std()) / np.sqrt(len(variances))
    root = np.sqrt(max(mean, 0.0))
    return float(root), float(np.sqrt(max(mean, 0.0) + error) - root)


def _product(first: Image, second: Image, valid: NDArray[np.bool_]) -> float:
    return float(np.mean(first[valid] * second[valid], dtype=np.float64))


def _warp(image: Image, flow: Image) -> Image:
    y, x = np.indices(image.shape, np.float32)
    warped = cv2.remap(image, x + flow[1], y + flow[0], cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.float32)


def _enlarged(flow: Image, shape: tuple[int, ...]) -> Image:
    """Return a flow on the reduced grid, (2, y, x), on the grid of the frames, (2, Y, X)."""
    height, width = (REDUCTION * side for side in flow.shape[1:])
    large = np.stack([cv2.resize(component, (width, height), interpolation=cv2.INTER_LINEAR) for component in flow])
    return np.pad(large, ((0, 0), (0, shape[0] - height), (0, shape[1] - width)), mode="edge")


def _inner(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    inner = np.zeros(shape, bool)
    inner[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = True
    return inner


def _blur(image: Image, sigma: float) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)
