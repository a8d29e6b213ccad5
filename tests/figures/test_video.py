from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from image_translation.figures import video
from image_translation.figures.video import MAX_HEIGHT, MAX_WIDTH, composite_image, grey_image, write_video

SIX = ["phase", "truth", "raw", "window", "savgol", "motion"]


def decode(path: Path) -> np.ndarray:
    with av.open(f"file:{path}") as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def flat(size: tuple[int, int], colour: tuple[int, int, int]) -> np.ndarray:
    return np.broadcast_to(np.array(colour, dtype=np.uint8), (*size, 3))


def write(path: Path, names: list[str], size: tuple[int, int], n_frames: int = 2) -> np.ndarray:
    pictures = ((f"frame {t}", {name: flat(size, (200, 200, 200)) for name in names}) for t in range(n_frames))
    write_video(path, names, size, pictures, n_frames=n_frames)
    return decode(path)


def test_all_frames_are_written_as_h264_with_the_index_first(tmp_path: Path) -> None:
    frames = write(tmp_path / "a.mp4", SIX, (40, 60), 13)
    assert len(frames) == 13
    with av.open(str(tmp_path / "a.mp4")) as file:
        stream = file.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 8)
        assert (stream.width, stream.height) == frames.shape[2:0:-1]
    # With the index first, browsers start playback before the file is complete.
    start = (tmp_path / "a.mp4").read_bytes()
    assert start.index(b"moov") < start.index(b"mdat")


@pytest.mark.parametrize("name", ["x:y", "file:a", "a b", "%d", "%04d.mp4", "µ-\N{GREEK SMALL LETTER OMEGA}", "a?b#c"])
def test_any_path_can_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)  # a relative path, which begins with the name
    Path(name).mkdir()
    frames = write(Path(name) / "a.mp4", ["raw"], (32, 32))
    assert len(frames) == 2
    assert [path.name for path in tmp_path.rglob("*.mp4") if path.is_file()] == ["a.mp4"]


def test_a_noisy_movie_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    """What x264 does in several threads, or to limit the bit rate, differs each time."""

    def noise() -> Any:
        rng = np.random.default_rng(0)
        return (("", {"raw": rng.integers(0, 255, (256, 256, 3), dtype=np.uint8)}) for _ in range(24))

    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, ["raw"], (256, 256), noise(), n_frames=2400)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize("names", [["raw"], SIX[:2], SIX[:4], SIX[:5], SIX, [*SIX, "median", "causal"]])
@pytest.mark.parametrize("size", [(1, 1), (33, 77), (400, 7), (9, 500), (512, 512)])
def test_sizes_are_even_and_limited(tmp_path: Path, names: list[str], size: tuple[int, int]) -> None:
    frames = write(tmp_path / "a.mp4", names, size, 1)
    height, width = frames.shape[1:3]
    assert height % 2 == width % 2 == 0
    assert height <= MAX_HEIGHT + 32
    assert width <= MAX_WIDTH


@pytest.mark.parametrize("size", [(22, 978), (46, 954), (56, 58)])
def test_texts_have_exactly_the_size_that_is_asked_for(size: tuple[int, int]) -> None:
    """Matplotlib 3.9 made these one column too small."""
    assert video._draw_texts(size, []).shape == (*size, 3)


def test_panels_are_in_the_order_of_their_names_and_missing_ones_are_hatched(tmp_path: Path) -> None:
    colours = {"a": (200, 40, 40), "b": (40, 200, 40)}
    pictures = [
        ("first", {name: flat((64, 64), colour) for name, colour in colours.items()}),
        ("second", {"a": flat((64, 64), colours["a"])}),
    ]
    write_video(tmp_path / "a.mp4", ["a", "b"], (64, 64), iter(pictures), n_frames=2)
    frames = decode(tmp_path / "a.mp4")
    height, width = frames.shape[1:3]
    left, right = (slice(height // 2, height - 20), slice(20, width // 2 - 20)), slice(width // 2 + 20, width - 20)
    for frame in frames:
        np.testing.assert_allclose(frame[left].mean(axis=(0, 1)), colours["a"], atol=12)
    there, missing = frames[:, left[0], right]
    np.testing.assert_allclose(there.mean(axis=(0, 1)), colours["b"], atol=12)
    assert np.ptp(missing.mean(axis=2)) > 20
    assert np.abs(missing.mean(axis=(0, 1)) - missing.mean()).max() < 8
    # The title changes from frame to frame, the names do not.
    assert np.abs(frames[0, :30].astype(int) - frames[1, :30]).max() > 60


def test_file_size_of_a_noisy_movie_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "MAX_MEGABYTES", 1.0)
    rng = np.random.default_rng(0)
    noise = (("", {"raw": rng.integers(0, 255, (128, 128, 3), dtype=np.uint8)}) for _ in range(60))
    write_video(tmp_path / "a.mp4", ["raw"], (128, 128), noise, n_frames=60)
    assert (tmp_path / "a.mp4").stat().st_size < 1.1e6


@pytest.mark.parametrize("name", ["libvpx-vp9", "mpeg4"])
def test_other_encoders_are_used_if_the_first_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    known = [("no such encoder", {}), *(encoder for encoder in video.ENCODERS if encoder[0] == name)]
    monkeypatch.setattr(video, "ENCODERS", known)
    frames = write(tmp_path / "a.mp4", ["raw"], (64, 64), 3)
    assert len(frames) == 3


def test_missing_encoder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "ENCODERS", [("no such encoder", {})])
    with pytest.raises(video.DataError, match="no encoder"):
        write(tmp_path / "a.mp4", ["raw"], (64, 64))


def test_names_are_not_parsed_as_math(tmp_path: Path) -> None:
    frames = write(tmp_path / "a.mp4", [r"$\foo$", "a_b^c", "\N{MICRO SIGN}m"], (32, 32), 1)
    assert len(frames) == 1


def test_extreme_pixels_are_black_or_white() -> None:
    image = np.array([[-3e38, 0.5, 3e38]], dtype=np.float32)
    np.testing.assert_array_equal(grey_image(image, (-1e-3, 1))[0, :, 0], [0, 127, 255])


def test_images_are_scaled_to_the_display_window() -> None:
    image = np.array([[0, 1, 2, 3, np.nan]], dtype=np.float32)
    np.testing.assert_array_equal(grey_image(image, (1, 3))[0, :, 0], [0, 0, 127, 255, 0])
    zero = np.zeros_like(image)
    nuclei = composite_image(np.stack([image, zero]), [(1, 3), (1, 3)])
    membrane = composite_image(np.stack([zero, image]), [(1, 3), (1, 3)])
    assert nuclei.dtype == np.uint8
    assert nuclei[0, 3].argmax() == 2
    assert membrane[0, 3].argmax() == 0
    both = composite_image(np.stack([image, image]), [(1, 3), (1, 3)])[0, 3].astype(int)
    assert both.min() > 240
    np.testing.assert_array_equal(composite_image(image[np.newaxis], [(1, 3)]), grey_image(image, (1, 3)))


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_number_of_channels_can_be_merged(channels: int) -> None:
    picture = composite_image(np.ones((channels, 4, 5), dtype=np.float32), [(0, 1)] * channels)
    assert picture.shape == (4, 5, 3)
    assert picture.min() > 200
