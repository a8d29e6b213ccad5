"""Small published datasets, made in memory: what is served of them, their registry entries, and what must come of it.

The OME-Zarr stores are written by hand, uncompressed, so that no test needs zarr for them.
"""

import gzip
import hashlib
import io
import json
import shlex
import stat
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

FACTS = {"licence": "CC0", "citation": "nobody"}
KEPT_BESIDE = (".lock", "verified.json", ".verified.json", "files.txt", ".partial/")  # beginnings of other names
PAGE = b"<!DOCTYPE html>\n<html><body><h1>Moved</h1><p>Please log in.</p></body></html>\n"

type_of: Mapping[str, bytes] = {
    "fifo": tarfile.FIFOTYPE,
    "device": tarfile.CHRTYPE,
    "link": tarfile.SYMTYPE,
    "hard link": tarfile.LNKTYPE,
    "folder": tarfile.DIRTYPE,
}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Published:
    """Something that can be fetched by name.

    Attributes
    ----------
    name
        In the registry.
    served
        Path on the server -> bytes.
    entry
        Keys of the registry; an address that begins with a slash is completed.
    final
        Name of the file or directory in the dataset's folder of the cache.
    content
        Path in the dataset's folder -> bytes, of all that is there in the end.
    source
        Path on the server of the one file, archive or list that is fetched first.
    """

    name: str
    served: dict[str, bytes]
    entry: dict[str, Any]
    final: str
    content: dict[str, bytes] = field(default_factory=dict)
    source: str = ""

    def with_entry(self, **changes: Any) -> "Published":
        return replace(self, entry=self.entry | changes)


def checkpoint(
    name: str = "tiny_ckpt", content: bytes = b"", *, size: int = 5000, file: str = "tiny.ckpt"
) -> Published:
    """Make a file that stands for a checkpoint: bytes that do not repeat."""
    content = content or noise(size)
    entry = {"kind": "checkpoint", "title": "a tiny checkpoint", "address": f"/{file}", "sha256": sha256(content)}
    return Published(name, {f"/{file}": content}, entry | FACTS, file, {file: content}, f"/{file}")


def noise(size: int) -> bytes:
    """Return bytes in which no piece is like another."""
    blocks = (hashlib.sha256(struct.pack("<q", number)).digest() for number in range(size // 32 + 1))
    return b"".join(blocks)[:size]


def store_files(frames: int = 3) -> dict[str, bytes]:
    """Make a valid OME-Zarr 0.4 image of 16-bit integers, one chunk a frame: 3 files more than frames."""
    axes = [("t", "time"), ("c", "channel"), ("z", "space"), ("y", "space"), ("x", "space")]
    multiscale = {
        "version": "0.4",
        "axes": [{"name": name, "type": kind} for name, kind in axes],
        "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0] * 5}]}],
    }
    array = {
        "zarr_format": 2,
        "shape": [frames, 1, 1, 2, 3],
        "chunks": [1, 1, 1, 2, 3],
        "dtype": "<u2",
        "compressor": None,
        "fill_value": 0,
        "filters": None,
        "order": "C",
        "dimension_separator": "/",
    }
    files = {
        ".zgroup": json.dumps({"zarr_format": 2}).encode(),
        ".zattrs": json.dumps({"multiscales": [multiscale], "omero": {"channels": [{"label": "Phase3D"}]}}).encode(),
        "0/.zarray": json.dumps(array).encode(),
    }
    for frame in range(frames):
        files[f"0/{frame}/0/0/0/0"] = struct.pack("<6H", *range(6 * frame + 1, 6 * frame + 7))
    return files


def below(folder: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{name}": content for name, content in files.items()}


def archive(
    packed: bytes,
    *,
    name: str = "tiny_zip",
    file: str = "tiny.ome.zarr.zip",
    content: Mapping[str, bytes] | None = None,
    **entry: Any,
) -> Published:
    """Publish an archive; `content` is what its root holds, by default that of `store_files`."""
    final = file.removesuffix(".zip").removesuffix(".gz").removesuffix(".tar").removesuffix(".tgz")
    facts = {"kind": "ome-zarr", "title": "a tiny archive", "address": f"/{file}", "sha256": sha256(packed)} | FACTS
    held = below(final, store_files() if content is None else content)
    return Published(name, {f"/{file}": packed}, facts | entry, final, held, f"/{file}")


def zipped(
    members: Mapping[str, bytes] | Iterable[tuple[str | zipfile.ZipInfo, bytes]], *, compress: bool = False
) -> bytes:
    """Make a zip of any members, valid or not."""
    pairs = members.items() if isinstance(members, Mapping) else members
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as file:
        warnings.simplefilter("ignore")  # of names that come twice
        for name, content in pairs:
            file.writestr(name, content, zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED)
    return buffer.getvalue()


def tarred(
    members: Mapping[str, bytes] | Iterable[tuple[str, bytes] | tuple[str, str, str]], *, compress: bool = False
) -> bytes:
    """Make a tar of any members: (name, content), or (name, kind, target) for what is no file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for member in members.items() if isinstance(members, Mapping) else members:
            info = tarfile.TarInfo(member[0])
            if len(member) == 2:
                info.size = len(member[1])
                file.addfile(info, io.BytesIO(member[1]))
            else:
                info.type, info.linkname = type_of[member[1]], member[2]
                if member[1] == "folder":
                    info.mode = 0o755
                file.addfile(info)
    packed = buffer.getvalue()
    return gzip.compress(packed, mtime=0) if compress else packed


def directory(
    name: str = "tiny_movie",
    files: Mapping[str, bytes] | None = None,
    *,
    folder: str = "tiny.ome.zarr",
    text: str | None = None,
) -> Published:
    """Publish a directory file by file, by default an OME-Zarr of 40 files; `text` replaces the list of its files."""
    files = store_files(37) if files is None else files
    listed = (file_list(files) if text is None else text).encode()
    entry = {
        "kind": "ome-zarr",
        "title": "a tiny movie",
        "address": f"/{folder}",
        "list": f"/{folder}.txt",
        "list_sha256": sha256(listed),
    }
    served = {f"/{folder}/{key}": content for key, content in files.items()} | {f"/{folder}.txt": listed}
    return Published(name, served, entry | FACTS, folder, below(folder, files), f"/{folder}.txt")


def file_list(files: Mapping[str, bytes]) -> str:
    return "".join(f"{shlex.quote(name)} {sha256(content)}\n" for name, content in files.items())


def write_registry(path: Path, server: str, things: Iterable[Published]) -> Path:
    """Write the registry of what a server serves."""
    tables = []
    for thing in things:
        values = {
            key: f"{server}{value}" if key in {"address", "list"} and value.startswith("/") else value
            for key, value in thing.entry.items()
        }
        rows = (f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())
        tables.append(f"[{thing.name}]\n{''.join(rows)}")
    path.write_text("\n".join(tables), encoding="utf-8")
    return path


def files_below(folder: Path) -> dict[str, bytes]:
    """Return what lies below a folder: links as what they say, other things by their kind."""
    found = {}
    for path in sorted(folder.rglob("*")) if folder.exists() else []:
        try:
            name, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
        except FileNotFoundError:  # by now: somebody is working there
            continue
        if stat.S_ISLNK(mode):
            found[name] = f"link to {path.readlink()}".encode()
        elif stat.S_ISREG(mode):
            with suppress(FileNotFoundError):
                found[name] = path.read_bytes()
        elif not stat.S_ISDIR(mode):
            found[name] = f"file of mode {mode:o}".encode()
    return found


def published_files(cache: Path, name: str) -> dict[str, bytes]:
    """Return what lies under final names in the folder of a dataset."""
    found = files_below(cache / name)
    return {key: content for key, content in found.items() if not key.startswith(KEPT_BESIDE)}


def require_sound(cache: Path, things: Iterable[Published], carried: Iterable[str] = ()) -> None:
    """Fail unless every file under a final name has its right bytes, and what is there is whole.

    Parameters
    ----------
    cache
        Cache directory.
    things
        What is published.
    carried
        Names in the folder of a dataset that a person has put there, such as an archive.
    """
    known = {thing.name: thing for thing in things}
    for folder in sorted(cache.iterdir()) if cache.exists() else []:
        assert folder.name in known, f"{folder} is in the cache and belongs to nothing"
        thing = known[folder.name]
        found = {key: value for key, value in published_files(cache, thing.name).items() if key not in carried}
        wrong = {key: value[:60] for key, value in found.items() if thing.content.get(key) != value}
        assert not wrong, f"{folder} holds what was never published: {wrong}"
        if (folder / thing.final).exists() or (folder / thing.final).is_symlink():
            missing = set(thing.content) - set(found)
            assert not missing, f"{folder / thing.final} is there without {sorted(missing)[:5]}"


def _entry_of_mode(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


def _patched(packed: bytes, offset_local: int, offset_central: int, value: int) -> bytes:
    """Set two bytes in the headers of the first member of a zip."""
    changed = bytearray(packed)
    central = changed.index(b"PK\x01\x02")
    struct.pack_into("<H", changed, offset_local, value)
    struct.pack_into("<H", changed, central + offset_central, value)
    return bytes(changed)


def hostile_archives(outside: Path) -> dict[str, bytes]:
    """Make archives that must not be unpacked; those with absolute names aim at a folder that must stay empty.

    All but the last few hold a good store, too, which whoever looks for one finds.
    """
    good = list(below("tiny.ome.zarr", store_files()).items())
    link = stat.S_IFLNK | 0o777
    first = good[0][0]
    one_file = zipped([good[0]])
    zips: dict[str, list[tuple[Any, bytes]]] = {
        "parent": [("../evil", b"x")],
        "parent below the root": [("tiny.ome.zarr/../../evil", b"x")],
        "absolute": [(f"{outside}/evil", b"x")],
        "backslash": [("..\\evil", b"x")],
        "drive": [("C:/evil", b"x")],
        "link": [(_entry_of_mode("tiny.ome.zarr/link", link), str(outside).encode())],
        "through a link": [
            (_entry_of_mode("tiny.ome.zarr/link", link), str(outside).encode()),
            ("tiny.ome.zarr/link/evil", b"x"),
        ],
        "fifo": [(_entry_of_mode("tiny.ome.zarr/fifo", stat.S_IFIFO | 0o666), b"")],
        "file below a file": [(f"{first}/evil", b"x")],
        "duplicate": [(first, b"another content")],
    }
    tars: dict[str, list[Any]] = {
        "parent": [("../evil", b"x")],
        "absolute": [(f"{outside}/evil", b"x")],
        "backslash": [("..\\evil", b"x")],
        "link": [("tiny.ome.zarr/link", "link", str(outside))],
        "link inside": [("tiny.ome.zarr/link", "link", ".zattrs")],
        "through a link": [("tiny.ome.zarr/link", "link", str(outside)), ("tiny.ome.zarr/link/evil", b"x")],
        "hard link": [("tiny.ome.zarr/link", "hard link", "../../../../../../../../etc/passwd")],
        "fifo": [("tiny.ome.zarr/fifo", "fifo", "")],
        "device": [("tiny.ome.zarr/device", "device", "")],
        "file below a file": [(f"{first}/evil", b"x")],
        "duplicate": [(first, b"another content")],
    }
    whole_tar = tarred(good, compress=True)
    two = good + list(below("other.ome.zarr", store_files()).items())
    found = {f"zip: {key}": zipped(good + extra) for key, extra in zips.items()}
    found |= {f"tar: {key}": tarred(good + extra, compress=True) for key, extra in tars.items()}
    return found | {
        "zip: two stores": zipped(two),
        "tar: two stores": tarred(two),
        "zip: no store": zipped({"notes.txt": b"x"}),
        "tar: no store": tarred({"notes.txt": b"x"}, compress=True),
        "zip: empty": zipped({}),
        "tar: empty": tarred({}),
        "zip: cut": zipped(good)[:-40],
        "zip: damaged": zipped(good).replace(good[-1][1], bytes(len(good[-1][1]))),
        "zip: encrypted": _patched(zipped(good), 6, 8, 1),
        "zip: unknown compression": _patched(zipped(good), 8, 10, 77),
        "zip: one file of a store": one_file[:-10],
        "tar: cut": whole_tar[: len(whole_tar) // 2],
        "tar: damaged": whole_tar[:60] + bytes([whole_tar[60] ^ 0xFF]) + whole_tar[61:],
        "tar: cut without compression": tarred(good)[:1800],
        "a page": PAGE,
        "nothing": b"",
    }


def hostile_lists(outside: Path) -> dict[str, str]:
    """Make lists of files that must not be followed; they name good files, too."""
    files = store_files()
    good, digest = file_list(files), sha256(files[".zattrs"])
    lines: dict[str, str] = {
        "parent": f"../evil {digest}",
        "parent below the root": f"0/../../evil {digest}",
        "absolute": f"{outside}/evil {digest}",
        "drive": f"'C:\\evil' {digest}",
        "drive without a backslash": f"C:/evil {digest}",
        "backslash": f"'..\\evil' {digest}",
        "empty name": f"'' {digest}",
        "dot": f". {digest}",
        "dot inside": f"0/./evil {digest}",
        "two slashes": f"0//evil {digest}",
        "folder": f"0/ {digest}",
        "NUL": f"'e\0vil' {digest}",
        "line feed in a name": f"'e\nvil' {digest}",
        "file below a file": f".zattrs/evil {digest}",
        "twice with two sums": f".zattrs {sha256(b'other')}",
        "MD5": "evil d41d8cd98f00b204e9800998ecf8427e",
        "prefixed MD5": "evil md5:d41d8cd98f00b204e9800998ecf8427e",
        "short sum": f"evil {digest[:-1]}",
        "no hexadecimal": f"evil {'g' * 64}",
        "no sum": "evil",
        "another address": f"evil {digest} http://192.0.2.1/evil",
        "a file's address": f"evil {digest} file:///etc/passwd",
        "four columns": f"evil {digest} a b",
        "open quote": f"'evil {digest}",
    }
    return {key: f"{good}{line}\n" for key, line in lines.items()} | {
        "a page": PAGE.decode(),
        "nothing": "",
        "comments alone": "# nothing\n\n",
    }


def good_archives() -> dict[str, tuple[str, Callable[[], bytes]]]:
    """Make archives in the ways in which people pack: name of the file, and how to make it."""
    files = store_files()
    top = below("tiny.ome.zarr", files)
    junk = {"__MACOSX/tiny.ome.zarr/._.zattrs": b"junk"}
    return {
        "zip": ("tiny.ome.zarr.zip", lambda: zipped(top)),
        "deflated zip": ("tiny.ome.zarr.zip", lambda: zipped(top, compress=True)),
        "zip with folders": (
            "tiny.ome.zarr.zip",
            lambda: zipped({"tiny.ome.zarr/": b"", "tiny.ome.zarr/0/": b""} | top),
        ),
        "zip without a folder": ("tiny.ome.zarr.zip", lambda: zipped(files)),
        "zip of another name": ("tiny.ome.zarr.zip", lambda: zipped(below("data/export.zarr", files))),
        "zip of a Macintosh": ("tiny.ome.zarr.zip", lambda: zipped(top | junk)),
        "tar": ("tiny.ome.zarr.tar", lambda: tarred(top)),
        "tar.gz": ("tiny.ome.zarr.tar.gz", lambda: tarred(top, compress=True)),
        "tgz": ("tiny.ome.zarr.tgz", lambda: tarred(top, compress=True)),
        "tar with folders": (
            "tiny.ome.zarr.tar.gz",
            lambda: tarred([("./", "folder", ""), ("./tiny.ome.zarr", "folder", ""), *below(".", top).items()]),
        ),
        "tar that is called tar.gz": ("tiny.ome.zarr.tar.gz", lambda: tarred(top)),
        "tar that is called zip": ("tiny.ome.zarr.zip", lambda: tarred(top)),
    }
