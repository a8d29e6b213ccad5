"""Loaded networks and recently computed activations, kept while the controls of the page change."""

import gc
import hashlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from image_translation import data
from image_translation.explorer.inspector import Activations, Inspector, NetworkInput, with_outputs
from image_translation.network.devices import empty_cache
from image_translation.network.features import Placement

CACHE_BYTES = 2**30

_Outputs = tuple[NDArray[np.float32], dict[str, NDArray[np.float32]], dict[str, Placement]]


class Session:
    """Networks in named slots, and a cache of the activations of the last images.

    A network stays loaded until its slot gets another checkpoint; its memory, on the GPU too, is freed before the next
    network is loaded. Activations are cached by the checkpoint's checksum and the pixels of the input, so that the key
    is right whichever controls produced them; the least recently used are dropped beyond `cache_bytes`.

    Parameters
    ----------
    device
        See `devices.resolve_device`.
    cache_bytes
        Size of the cache of predictions and features. The last activations are kept in any case.
    """

    def __init__(self, device: str = "auto", cache_bytes: int = CACHE_BYTES) -> None:
        self._device, self._cache_bytes = device, cache_bytes
        self._slots: dict[str, tuple[tuple[object, ...], Inspector]] = {}
        self._cache: OrderedDict[tuple[object, ...], _Outputs] = OrderedDict()

    def network(self, slot: str, checkpoint: str, *, head_pool: bool | None = None) -> Inspector:
        """Return the network of a checkpoint, and assign it to a slot.

        Parameters
        ----------
        slot
            Name of the slot, such as "first" or "second".
        checkpoint
            Path, or a name that `data.resolve_checkpoint` knows.
        head_pool
            As for `Inspector`.

        Raises
        ------
        UsageError, DataError
            As `data.resolve_checkpoint` and `loading.read_spec`; the slot then keeps its network.
        """
        path = data.resolve_checkpoint(checkpoint)
        key = (path.resolve(), *_file_state(path), *_file_state(path.with_name(f"{path.name}.json")), head_pool)
        inspector = next((one for known, one in self._slots.values() if known == key), None)
        if inspector is None:
            inspector = Inspector(str(path), head_pool=head_pool, device=self._device)
        if self._slots.get(slot, (key, inspector))[1] is not inspector:
            self.release(slot)
        self._slots[slot] = (key, inspector)
        return inspector

    def release(self, slot: str) -> None:
        """Empty a slot, and free the memory of its network unless another slot holds it."""
        if self._slots.pop(slot, None) is None:
            return
        gc.collect()  # modules and their hooks refer to each other
        empty_cache()

    def run(self, inspector: Inspector, network_input: NetworkInput) -> Activations:
        """Return the activations of a network for an input, from the cache if they are there."""
        seen = network_input.data
        key = (inspector.spec.sha256, inspector.spec.supplied, hashlib.sha256(seen.tobytes()).digest(), seen.shape)
        if key not in self._cache:
            activations = inspector.run(network_input)
            self._cache[key] = activations.prediction, activations.features, activations.placements
            while len(self._cache) > 1 and sum(map(_size, self._cache.values())) > self._cache_bytes:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return with_outputs(network_input, *self._cache[key])


def _file_state(path: Path) -> tuple[object, ...]:
    """Return modification time and size, to recognise a file that was replaced."""
    if not path.exists():
        return (None,)
    state = path.stat()
    return state.st_mtime_ns, state.st_size


def _size(outputs: _Outputs) -> int:
    """Return the size of predictions and features in bytes."""
    prediction, features, _ = outputs
    return prediction.nbytes + sum(array.nbytes for array in features.values())
