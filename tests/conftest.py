"""Shared fixtures: VisCy, a small checkpoint and its network, a server to download from, a small disk."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pooch
import pytest
import torch
import zarr
from support.checkpoints import NO_VISCY, SMALL_ARCHITECTURE, STACK_ARCHITECTURE, save_network
from support.fetch_site import Site
from support.loopback_server import LoopbackServer
from support.published import check_cache

from image_translation.data import http, movie_paths
from image_translation.network.loading import ModelSpec, build_network, read_spec

PIPELINE = "codec_pipeline.path"
OF_ZARR = zarr.config.get(PIPELINE)


def pytest_configure(config: pytest.Config) -> None:
    """Give parallel test processes, and the commands that they start, one thread each."""
    if config.getoption("numprocesses", None):
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files with slow tests first, so that no process is left with one of them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def codec_pipeline() -> Iterator[None]:
    """Undo what iohub 0.3.11 does when it opens a store: it changes how zarr encodes in the whole process."""
    zarr.config.set({PIPELINE: OF_ZARR})  # a fixture of wider scope may have opened one
    yield
    zarr.config.set({PIPELINE: OF_ZARR})


@pytest.fixture(scope="session")
def network_class() -> Any:
    """VisCy's network, whose import takes many seconds."""
    pytest.importorskip("viscy", reason=NO_VISCY)
    from viscy.unet.networks.fcmae import FullyConvolutionalMAE

    return FullyConvolutionalMAE


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a random network, phase -> nuclei and membrane, stride 4, with metadata. Do not write to it."""
    metadata = {
        "normalization": "mean_std",
        "input_channels": ["Phase3D"],
        "output_channels": ["Nuclei", "Membrane"],
        "description": "a random network for tests",
    }
    path = save_network(tmp_path_factory.mktemp("checkpoints") / "tiny.ckpt", SMALL_ARCHITECTURE, metadata=metadata)
    content = {"epoch": 3, "global_step": 40, "pytorch-lightning_version": "2.5.0"}
    lists = {"loops": {}, "callbacks": {}, "optimizer_states": [], "lr_schedulers": []}
    torch.save(torch.load(path, weights_only=True) | content | lists, path)
    return path


@pytest.fixture(scope="session")
def tiny_model(tiny_checkpoint: Path) -> tuple[ModelSpec, torch.nn.Module]:
    """The description and the network of `tiny_checkpoint`."""
    spec, state = read_spec(tiny_checkpoint)
    return spec, build_network(spec, state)


@pytest.fixture(scope="session")
def stack_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a random network that takes stacks of 5 planes, stride 4. Do not write to it."""
    return save_network(tmp_path_factory.mktemp("checkpoints") / "stacks.ckpt", STACK_ARCHITECTURE)


@pytest.fixture(autouse=True, scope="session")
def _own_records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the records of where movies lie out of the user's cache."""
    directory = tmp_path_factory.mktemp("records")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(movie_paths, "cache_directory", lambda: directory)
        yield


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let started processes receive SIGINT even if this one was started with it ignored, as in the background."""
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a new process does not inherit
    yield
    signal.signal(signal.SIGINT, earlier)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server, a cache and a registry; the cache is checked after every test."""
    monkeypatch.setenv("IMAGE_TRANSLATION_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("IMAGE_TRANSLATION_REGISTRY", str(tmp_path / "registry.toml"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(http, "RESUME_DELAY", 0.0)
    with LoopbackServer() as server:
        made = Site(server, tmp_path / "cache", tmp_path / "registry.toml")
        monkeypatch.setattr(pooch.core, "time", SimpleNamespace(sleep=made.delays.append))
        yield made
        check_cache(made.cache, made.items, made.added)
        assert {path.name for path in tmp_path.iterdir()} <= {"cache", "registry.toml", "other"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB."""
    disk = tmp_path / "cache"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("no right to mount a small file system here")
    yield disk
    subprocess.run(["umount", disk], check=True)
