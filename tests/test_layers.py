"""What is imported at run time: array packages load no torch, and the command line starts without heavy libraries."""

import subprocess
import sys
from importlib import import_module
from pkgutil import iter_modules

import pytest

HEAVY = ("distributed", "iohub", "lightning", "matplotlib", "scipy.signal", "tensorstore", "torch", "viscy", "zarr")
PURE = ("metrics", "simulation", "temporal")


def loaded_after(code: str, heavy: tuple[str, ...] = HEAVY) -> set[str]:
    program = f"import sys\n{code}\nprint(*[name for name in {heavy!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(result.stdout.split("\n")[-2].split())


def modules_of(*packages: str) -> list[str]:
    names = (f"image_translation.{package}" for package in packages)
    return [module.name for name in names for module in iter_modules(import_module(name).__path__, f"{name}.")]


def test_array_packages_import_only_array_libraries() -> None:
    light = ["data.lookup", "errors", "files", "frame", "normalize", "omezarr.metadata", "staining.options"]
    light += [
        "evaluation.options",
        "explorer.options",
        "explorer.presets",
        "explorer.principal_components",
        "tracking.options",
        "training.options",
        "data.lookup",
    ]
    modules = [*modules_of(*PURE), *(f"image_translation.{name}" for name in light)]
    assert loaded_after("\n".join(f"import {name}" for name in modules)) == set()


def test_figures_are_drawn_without_torch() -> None:
    assert loaded_after("\n".join(f"import {name}" for name in modules_of("figures"))) == {"matplotlib"}


def test_the_package_loads_nothing_until_a_name_is_used() -> None:
    assert loaded_after("import image_translation\ndir(image_translation)") == set()
    assert loaded_after("from image_translation import SavitzkyGolay, MovieSpec") == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["no_such_command"]])
def test_help_waits_for_no_library(arguments: list[str]) -> None:
    code = f"from image_translation.cli import main\ntry:\n    main({arguments!r})\nexcept SystemExit:\n    pass"
    assert loaded_after(code, (*HEAVY, "numpy", "scipy")) == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["smooth", "--help"],
        ["evaluate", "--help"],
        ["fetch"],
        ["inspect", "--help"],
        ["track", "--help"],
        ["track", "no/such/results"],
        ["track", __file__, "--reach", "0"],
        ["train", "--help"],
        ["train", "simulated", "--source", "Phase3D", "--target", "DAPI", "-o", "out"],
        ["train", "no/such/store", "--source", "Phase3D", "--target", "Nuclei", "-o", "out"],
        ["evaluate", "no/such/store", "--truth", "no/such/truth"],
        ["inspect", "-c", "no/such.ckpt", "-m", "demo_movie", "-o", "out", "--crop", "0,0,4,4"],
        ["inspect", "-m", "demo_movie", "-o", "out"],
        ["inspect", "-m", "no/such/movie"],
        ["fetch", "no_such_name"],
        ["smooth", "-c", "demo_ckpt", "-m", "no/such/movie", "-o", "out"],
        ["smooth", "-c", "no/such.ckpt", "-m", "demo_movie", "-o", "out"],
        ["smooth", "-c", __file__, "-m", __file__, "-o", "out", "--window", "4"],
        ["smooth", "-c", __file__, "-m", __file__, "-o", "out", "--savgol-window", "3"],
        ["smooth", "-c", __file__, "-m", __file__, "-o", "out", "--frames", "7"],
        ["smooth", "-c", __file__, "-m", __file__, "-o", "out", "--methods", "blur"],
        ["smooth", "-c", __file__, "-m", __file__, "-o", "out", "--scheduler", "local:0"],
    ],
)
def test_arguments_are_checked_without_heavy_libraries(arguments: list[str]) -> None:
    code = f"from image_translation.cli import main\ntry:\n    main({arguments!r})\nexcept SystemExit:\n    pass"
    assert loaded_after(code) == set()


def test_public_names_exist() -> None:
    import image_translation

    for name in image_translation.__all__:
        assert getattr(image_translation, name).__name__ == name
    with pytest.raises(AttributeError, match="attribute nothing"):
        image_translation.nothing  # noqa: B018
