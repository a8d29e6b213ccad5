"""Datasets and checkpoints by name: a name or path in, the path of verified files out.

`fetch` downloads the entries of a registry into a cache and generates the embedded movies; `resolve` also accepts
paths. Start with `lookup`.

- `lookup`: names and paths -> paths; names of the embedded data and of the registry
- `registry`: the entries: URLs, checksums, licences and checkpoint metadata, from TOML files
- `cache`: the directory of an entry in the cache: what is missing or damaged is downloaded and verified
- `unverified`: checkpoints whose checksum is unknown: what is verified instead, and how it becomes known
- `download`, `http`: parallel downloads with checksums; resumable HTTP transfers
- `archives`: unpacking of zip and tar archives
- `file_list`, `receipt`: published checksums of the files of a directory; the record of their verification
- `movie_paths`: where the movies of this user's runs lie
- `simulated`: simulated movies as OME-Zarr stores
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
