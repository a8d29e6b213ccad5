"""Names of checkpoints and movies: the embedded ones, and what is known of the public ones."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from image_translation.errors import DataError, UsageError

CACHE_VARIABLE = "IMAGE_TRANSLATION_DATA_DIR"
EMBEDDED_CHECKPOINTS = {
    "demo_ckpt": "demo_phase2fluor.ckpt",
    "demo_ckpt_fluor2phase": "demo_fluor2phase.ckpt",
}
EMBEDDED_MOVIES = {"demo_movie": "demo_movie.ome.zarr"}


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """What a published checkpoint does not say of itself.

    Attributes
    ----------
    normalization
        Statistics of the field of view that the network was trained with.
    input_channels, output_channels
        Names, in the order of the network's channels.
    description
        One line for people.
    """

    normalization: Literal["median_iqr", "mean_std", "none"]
    input_channels: tuple[str, ...]
    output_channels: tuple[str, ...]
    description: str


# By SHA-256, so that a checkpoint is recognised wherever it lies.
CHECKPOINT_FACTS = {
    "1abdbc1c727aba33dad0d174dba57d128a12019b712db946ce06012ecd64c1fe": CheckpointFacts(
        normalization="median_iqr",
        input_channels=("Phase3D",),
        output_channels=("Nuclei", "Membrane"),
        description="VSCyto2D: phase to nuclei and membrane",
    ),
}


def cache_directory() -> Path:
    """Return where downloaded and simulated data are kept.

    Returns
    -------
    Path
        The value of the environment variable ``IMAGE_TRANSLATION_DATA_DIR``, else the user's cache directory
        (`pooch.os_cache`). It need not exist yet.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    import pooch  # slow, and not needed for local paths

    return Path(pooch.os_cache("image_translation"))


def resolve(name_or_path: str | os.PathLike[str]) -> Path:
    """Find a checkpoint or a movie by its name or path; a local path wins over a name.

    Parameters
    ----------
    name_or_path
        A path that exists, or one of the embedded names.

    Returns
    -------
    Path
        For "demo_movie" it need not exist yet: the movie is simulated on demand.

    Raises
    ------
    UsageError
        It is neither a path that exists nor a name.
    DataError
        An embedded checkpoint is missing from the installation.
    """
    path = Path(name_or_path).expanduser()
    if path.exists():
        return path
    name = os.fspath(name_or_path)
    if name in EMBEDDED_MOVIES:
        return cache_directory() / EMBEDDED_MOVIES[name]
    if name not in EMBEDDED_CHECKPOINTS:
        names = ", ".join([*EMBEDDED_CHECKPOINTS, *EMBEDDED_MOVIES])
        msg = f"{name}: no such file or directory; give a path that exists or one of the names {names}"
        raise UsageError(msg)
    bundled = Path(__file__).parent / "checkpoints" / EMBEDDED_CHECKPOINTS[name]
    if not bundled.is_file():
        msg = f"{bundled}: the bundled checkpoint {name} is missing; reinstall image-translation"
        raise DataError(msg)
    return bundled
