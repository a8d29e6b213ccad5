"""Prediction of stacks by networks that take a few planes: a window is slid along z by one plane.

Where windows overlap, their predictions are averaged with equal weights. This is what the linear feathering of VisCy's
`AugmentedPredictionVSUNet.predict_sliding_windows` (https://github.com/mehta-lab/VisCy) amounts to, which blends each
window into the mean of those before it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from image_translation.errors import UsageError
from image_translation.network.predictor import Crop, Predictor, pad

Pending = Callable[[], NDArray[np.float32]]
"""Waits for a predicted plane, (C_out, Y, X) float32, and returns it."""


@dataclass(frozen=True)
class StackWindow:
    """How many planes a network takes and predicts, and what this means for a stack.

    Attributes
    ----------
    in_depth, out_depth
        Number of planes of the input and of the prediction, which lie in the middle of the input.
    pad
        Extend stacks by reflection in z, so that every plane can be predicted.
    reverse
        Show the planes to the network from the last to the first.
    """

    in_depth: int
    out_depth: int
    pad: bool = False
    reverse: bool = False

    @property
    def margin(self) -> int:
        """Number of planes of a window before its first predicted one."""
        return (self.in_depth - self.out_depth) // 2

    def predictable(self, depth: int) -> range:
        """Return the planes of a stack that can be predicted; empty if the stack has too few.

        Parameters
        ----------
        depth
            Number of planes of the stack.
        """
        if self.pad:
            return range(depth)
        after = self.in_depth - self.out_depth - self.margin
        before, after = (after, self.margin) if self.reverse else (self.margin, after)
        return range(before, depth - after) if depth >= self.in_depth else range(0)

    def sources(self, planes: Sequence[int], depth: int) -> list[int]:
        """Return the planes to read, in this order, to predict others.

        All windows that hold one of the wanted planes are in it, so that a prediction does not depend on what else is
        predicted.

        Parameters
        ----------
        planes
            Wanted planes, consecutive and ascending, out of `predictable`.
        depth
            Number of planes of the stack.
        """
        first, last = planes[0], planes[-1]
        if self.reverse:
            first, last = depth - 1 - last, depth - 1 - first
        before, after = self._padding(depth)
        start = max(-before, first - self.margin - self.out_depth + 1)
        stop = min(depth + after, last + self.in_depth - self.margin)
        padded = np.pad(np.arange(depth), (before, after), mode="reflect")[start + before : stop + before]
        return [int(z) for z in (depth - 1 - padded if self.reverse else padded)]

    def wanted(self, planes: Sequence[int], depth: int) -> dict[int, int]:
        """Return which of the predicted planes, counted in the order of `sources`, is which of the wanted ones."""
        before, _ = self._padding(depth)
        first = depth - 1 - planes[-1] if self.reverse else planes[0]
        start = max(-before, first - self.margin - self.out_depth + 1)
        place = first - start - self.margin
        ordered = reversed(planes) if self.reverse else planes
        return {place + number: z for number, z in enumerate(ordered)}

    def _padding(self, depth: int) -> tuple[int, int]:
        """Return how many planes a stack is extended by at its two ends, in the order of the network."""
        if not self.pad:
            return 0, 0
        before, after = self.margin, self.in_depth - self.out_depth - self.margin
        lacking = max(0, self.in_depth - (depth + before + after))
        return before + lacking // 2, after + lacking - lacking // 2


class StackPrediction:
    """Prediction of one stack, plane by plane; memory holds the planes of a batch of windows.

    Parameters
    ----------
    predictor
        Predictor of the network.
    window
        Planes that it takes and predicts.
    batch_size
        Windows per batch.
    """

    def __init__(self, predictor: Predictor, window: StackWindow, batch_size: int) -> None:
        self._predictor = predictor
        self._window = window
        self._batch_size = batch_size
        self._planes: deque[torch.Tensor | None] = deque()  # the last ones, padded, on the device
        self._waiting: list[torch.Tensor | None] = []  # windows of the next batch; None if a plane is invalid
        self._sums: list[torch.Tensor | None] = [None] * window.out_depth  # of predicted planes, the next one first
        self._counts = [0] * window.out_depth
        self._crop: Crop = (slice(None), slice(None))

    def push(self, plane: NDArray[np.float32] | None) -> list[Pending | None]:
        """Add the next plane.

        Parameters
        ----------
        plane
            Shape (C_in, Y, X), float32, normalised and finite; None if it is invalid, and no window that holds it is
            predicted.

        Returns
        -------
        list
            The planes that are complete with it, in their order; None for one that no valid window holds.
        """
        if plane is None:
            self._planes.append(None)
        else:
            padded, self._crop = pad(plane, self._predictor.stride)
            self._planes.append(self._predictor.upload(torch.from_numpy(padded)))
        if len(self._planes) < self._window.in_depth:
            return []
        planes = [one for one in self._planes if one is not None]
        self._planes.popleft()
        self._waiting.append(torch.stack(planes, 1) if len(planes) == self._window.in_depth else None)
        return self._predict() if len(self._waiting) == self._batch_size else []

    def finish(self) -> list[Pending | None]:
        """Return the remaining planes."""
        remaining = self._predict()
        return remaining + [self._take_first() for _ in range(self._window.out_depth - 1)]

    def _predict(self) -> list[Pending | None]:
        valid = [stack for stack in self._waiting if stack is not None]
        skipped = [stack is None for stack in self._waiting]
        self._waiting.clear()
        complete: list[Pending | None] = []

        def add(predictions: torch.Tensor) -> None:
            for prediction in predictions:  # (C_out, Z_out, Y', X')
                while skipped and skipped.pop(0):
                    complete.append(self._take_first())
                self._add(prediction)
                complete.append(self._take_first())

        if valid:
            self._predictor.run(torch.stack(valid), add)
        complete += [self._take_first() for _ in skipped]
        return complete

    def _add(self, prediction: torch.Tensor) -> None:
        """Add the prediction of the next window, (C_out, Z_out, Y', X')."""
        try:
            for number, total in enumerate(self._sums):
                plane = prediction[:, number]
                self._sums[number] = plane.clone() if total is None else total.add_(plane)
                self._counts[number] += 1
        except torch.OutOfMemoryError as error:  # a second attempt would add some planes twice
            raise UsageError(
                f"{len(self._sums)} predicted planes do not fit into the memory of {self._predictor.device}; use a "
                "smaller --batch-size or --device cpu"
            ) from error

    def _take_first(self) -> Pending | None:
        """Remove the first of the predicted planes, which no further window holds, and start to copy its mean."""
        total, count = self._sums.pop(0), self._counts.pop(0)
        self._sums.append(None)
        self._counts.append(0)
        if total is None:
            return None
        with torch.inference_mode():
            mean = total.div_(count)[..., *self._crop].contiguous()
        return self._predictor.download(mean)
