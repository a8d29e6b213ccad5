"""Volumes of networks that take stacks, predicted when a plane of them is asked for."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from image_translation.api.networks import Network
from image_translation.frame import Frame
from image_translation.metrics.rows import RAW
from image_translation.omezarr.frame_statistics import FrameStatistics
from image_translation.staining.plan import Plan
from image_translation.staining.stack_prediction import predict_volumes
from image_translation.staining.writer import prediction


class Volumes:
    """Volumes of a network that takes stacks, predicted when their first plane is asked for."""

    def __init__(self, plan: Plan, statistics: Sequence[FrameStatistics], network: Network) -> None:
        self._plan = plan
        self._statistics = statistics
        self._network = network
        self._number: int | None = None
        self._planes: dict[int, NDArray[np.float32]] = {}
        image = plan.images(RAW)[plan.series[0].position.name]
        self._shape = (image.shape[1], *image.shape[3:])

    def plane(self, member: int, number: int) -> Frame:
        """Return a plane of a volume, by the index of its series and the number of the frame."""
        if number != self._number:
            self._planes.clear()
            predict_volumes(
                self._plan,
                [number],
                self._statistics,
                self,
                predictor=self._network.predictor,
                on_frames=lambda _: None,
            )
            self._number = number
        return prediction(number, self._planes[self._plan.series[member].z])

    def write_pending(self, number: int, z: int, pending: Callable[[], NDArray[np.float32]] | None) -> None:  # noqa: ARG002
        """Take a plane of the volume; NaN if there is none."""
        self._planes[z] = np.full(self._shape, np.nan, np.float32) if pending is None else pending()

    def forget(self) -> None:
        """Forget the planes."""
        self._planes.clear()
