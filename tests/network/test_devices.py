"""Compute devices: choice by name, precision, threads, and GPUs of parallel workers."""

import cv2
import pytest
import torch

from image_translation.errors import UsageError
from image_translation.network import devices
from image_translation.network.devices import (
    keep_freed_memory,
    limit_threads,
    resolve_device,
    resolve_precision,
    spread_over_gpus,
)


@pytest.mark.parametrize("name", ["tpu", "cuda:99", "", "CPU"])
def test_unavailable_device_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"--device {name}: not available here; choose auto or one of .*cpu"):
        resolve_device(name)


def test_auto_chooses_the_preferred_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    with pytest.raises(UsageError, match="--device cuda: not available here; choose auto or one of cpu"):
        resolve_device("cuda")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto") == torch.device("cuda")
    assert resolve_device("cuda:1") == torch.device("cuda:1")


def test_precision_is_checked_against_the_device() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    with pytest.raises(UsageError, match="--precision fp16: not supported on the CPU; use fp32 or bf16"):
        resolve_precision("fp16", cpu)
    with pytest.raises(UsageError, match="--precision fp8: must be one of fp32, bf16, fp16"):
        resolve_precision("fp8", gpu)
    assert resolve_precision("fp16", gpu) == torch.float16
    assert resolve_precision("bf16", cpu) == torch.bfloat16
    assert resolve_precision("fp32", cpu) is None


def test_threads_are_limited() -> None:
    before = torch.get_num_threads(), cv2.getNumThreads()
    try:
        limit_threads(1)
        assert (torch.get_num_threads(), cv2.getNumThreads()) == (1, 1)
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def test_workers_of_one_machine_share_its_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [spread_over_gpus("auto", worker) for worker in (0, 3, 5)] == ["cuda:0", "cuda:3", "cuda:1"]
    assert spread_over_gpus("auto", "tcp://10.0.0.1:4000") == "auto"  # a cluster shows each worker its own GPU
    assert spread_over_gpus("cpu", 1) == "cpu"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert spread_over_gpus("cuda", 1) == "cuda"


def test_memory_setting_is_skipped_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(devices.ctypes, "CDLL", missing)
    keep_freed_memory()
