import threading
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from image_translation.temporal.filter import apply
from image_translation.temporal.motion_filter import centred
from image_translation.temporal.threads import parallel


@pytest.fixture
def threads() -> Iterator[None]:
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("count", [1, 3])
def test_results_are_in_order(count: int) -> None:
    cv2.setNumThreads(count)
    together = threading.Barrier(count)
    names = set()

    def add(a: int, b: int) -> int:
        together.wait(timeout=30)  # that many run at the same time
        names.add(threading.current_thread().name)
        return a + b

    assert parallel(add, range(6), [10] * 6) == [10, 11, 12, 13, 14, 15]
    assert len(names) == count


@pytest.mark.usefixtures("threads")
def test_an_error_in_a_thread_is_raised() -> None:
    cv2.setNumThreads(2)
    with pytest.raises(ZeroDivisionError):
        parallel(lambda x: 1 // x, [1, 0, 1])


@pytest.mark.usefixtures("threads")
def test_the_filter_gives_the_same_pixels_with_any_number_of_threads() -> None:
    noise = np.random.default_rng(0).normal(size=(6, 3, 70, 60)).astype(np.float32)
    movie = cv2.GaussianBlur(noise.reshape(18 * 70, 60), (0, 0), 2).reshape(noise.shape)
    results = []
    for count in (1, 3):
        cv2.setNumThreads(count)
        results.append(apply(centred(), movie[:, 1:], phase=movie[:, 0]))
    np.testing.assert_array_equal(*results)
