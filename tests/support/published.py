"""Small datasets and checkpoints to publish on a test server, with registry entries and expected files in the cache.

The OME-Zarr stores are written without zarr and uncompressed.
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

LICENCE = {"licence": "CC0", "citation": "nobody"}
INTERNAL_FILES = (
    ".lock",
    "verified.json",
    ".verified.json",
    "files.txt",
    ".partial/",
)  # in the directory of an entry, beside the data
HTML_PAGE = b"<!DOCTYPE html>\n<html><body><h1>Moved</h1><p>Please log in.</p></body></html>\n"

TAR_TYPES: Mapping[str, bytes] = {
    "fifo": tarfile.FIFOTYPE,
    "device": tarfile.CHRTYPE,
    "link": tarfile.SYMTYPE,
    "hard link": tarfile.LNKTYPE,
    "directory": tarfile.DIRTYPE,
}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Published:
    """A dataset or checkpoint that is served and registered.

    Attributes
    ----------
    name
        Name in the registry.
    served
        Content by path on the server.
    entry
        Keys of the registry entry; URLs that begin with a slash are relative to the server.
    final
        Name of the file or directory in its cache directory.
    content
        Expected content by path in its cache directory.
    source
        Path on the server of the checkpoint, archive or list that is downloaded first.
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
    """Publish a file of arbitrary bytes as a checkpoint."""
    content = content or noise(size)
    entry = {"kind": "checkpoint", "title": "a tiny checkpoint", "address": f"/{file}", "sha256": sha256(content)}
    return Published(name, {f"/{file}": content}, entry | LICENCE, file, {file: content}, f"/{file}")


def noise(size: int) -> bytes:
    """Return pseudo-random bytes without repetitions."""
    blocks = (hashlib.sha256(struct.pack("<q", number)).digest() for number in range(size // 32 + 1))
    return b"".join(blocks)[:size]


def store_files(frames: int = 3) -> dict[str, bytes]:
    """Return the files of a valid OME-Zarr 0.4 image, uint16: one chunk per frame and three files of metadata."""
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


def in_directory(parent: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{parent}/{name}": content for name, content in files.items()}


def archive(
    packed: bytes,
    *,
    name: str = "tiny_zip",
    file: str = "tiny.ome.zarr.zip",
    content: Mapping[str, bytes] | None = None,
    **entry: Any,
) -> Published:
    """Publish an archive; `content` are the files below its root, by default `store_files`."""
    final = file.removesuffix(".zip").removesuffix(".gz").removesuffix(".tar").removesuffix(".tgz")
    facts = {"kind": "ome-zarr", "title": "a tiny archive", "address": f"/{file}", "sha256": sha256(packed)} | LICENCE
    held = in_directory(final, store_files() if content is None else content)
    return Published(name, {f"/{file}": packed}, facts | entry, final, held, f"/{file}")


def make_zip(
    members: Mapping[str, bytes] | Iterable[tuple[str | zipfile.ZipInfo, bytes]], *, compress: bool = False
) -> bytes:
    """Make a zip archive with arbitrary members, valid or not."""
    pairs = members.items() if isinstance(members, Mapping) else members
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as file:
        warnings.simplefilter("ignore")  # about duplicate names
        for name, content in pairs:
            file.writestr(name, content, zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED)
    return buffer.getvalue()


def make_tar(
    members: Mapping[str, bytes] | Iterable[tuple[str, bytes] | tuple[str, str, str]], *, compress: bool = False
) -> bytes:
    """Make a tar archive with arbitrary members: (name, content), or (name, kind, target) for links and the like."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for member in members.items() if isinstance(members, Mapping) else members:
            info = tarfile.TarInfo(member[0])
            if len(member) == 2:
                info.size = len(member[1])
                file.addfile(info, io.BytesIO(member[1]))
            else:
                info.type, info.linkname = TAR_TYPES[member[1]], member[2]
                if member[1] == "directory":
                    info.mode = 0o755
                file.addfile(info)
    packed = buffer.getvalue()
    return gzip.compress(packed, mtime=0) if compress else packed


def directory(
    name: str = "tiny_movie",
    files: Mapping[str, bytes] | None = None,
    *,
    store: str = "tiny.ome.zarr",
    text: str | None = None,
) -> Published:
    """Publish the files of a directory, by default an OME-Zarr store of 40 files; `text` replaces the list of files."""
    files = store_files(37) if files is None else files
    listed = (file_list(files) if text is None else text).encode()
    entry = {
        "kind": "ome-zarr",
        "title": "a tiny movie",
        "address": f"/{store}",
        "list": f"/{store}.txt",
        "list_sha256": sha256(listed),
    }
    served = {f"/{store}/{key}": content for key, content in files.items()}
    served[f"/{store}.txt"] = listed
    return Published(name, served, entry | LICENCE, store, in_directory(store, files), f"/{store}.txt")


def file_list(files: Mapping[str, bytes]) -> str:
    return "".join(f"{shlex.quote(name)} {sha256(content)}\n" for name, content in files.items())


def write_registry(path: Path, server: str, items: Iterable[Published]) -> Path:
    """Write the registry of the items on a server."""
    tables = []
    for item in items:
        values = {
            key: f"{server}{value}" if key in {"address", "list"} and value.startswith("/") else value
            for key, value in item.entry.items()
        }
        rows = (f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())
        tables.append(f"[{item.name}]\n{''.join(rows)}")
    path.write_text("\n".join(tables), encoding="utf-8")
    return path


def files_below(directory: Path) -> dict[str, bytes]:
    """Return the content of all files below a directory; links and special files are described in words."""
    found = {}
    for path in sorted(directory.rglob("*")) if directory.exists() else []:
        try:
            name, mode = path.relative_to(directory).as_posix(), path.lstat().st_mode
        except FileNotFoundError:  # removed in the meantime by another thread or process
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
    """Return the files under final names in the cache directory of an entry."""
    found = files_below(cache / name)
    return {key: content for key, content in found.items() if not key.startswith(INTERNAL_FILES)}


def check_cache(cache: Path, items: Iterable[Published], added: Iterable[str] = ()) -> None:
    """Fail unless all files under final names are correct and all directories under final names are complete.

    Parameters
    ----------
    cache
        Cache directory.
    items
        All published items.
    added
        Files that a user has added to the directory of an entry, such as an archive.
    """
    known = {item.name: item for item in items}
    for directory in sorted(cache.iterdir()) if cache.exists() else []:
        assert directory.name in known, f"{directory} is in the cache without an entry in the registry"
        item = known[directory.name]
        found = {key: value for key, value in published_files(cache, item.name).items() if key not in added}
        wrong = {key: value[:60] for key, value in found.items() if item.content.get(key) != value}
        assert not wrong, f"{directory} contains files that were not published: {wrong}"
        if (directory / item.final).exists() or (directory / item.final).is_symlink():
            missing = set(item.content) - set(found)
            assert not missing, f"{directory / item.final} exists without {sorted(missing)[:5]}"


def _member_of_mode(name: str, mode: int) -> zipfile.ZipInfo:
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
    """Make archives that must be refused; absolute names and links point to `outside`, which must remain empty.

    All but the last few also contain a valid store.
    """
    valid = list(in_directory("tiny.ome.zarr", store_files()).items())
    link = stat.S_IFLNK | 0o777
    first = valid[0][0]
    one_file = make_zip([valid[0]])
    zips: dict[str, list[tuple[Any, bytes]]] = {
        "parent": [("../evil", b"x")],
        "parent below the root": [("tiny.ome.zarr/../../evil", b"x")],
        "absolute": [(f"{outside}/evil", b"x")],
        "backslash": [("..\\evil", b"x")],
        "drive": [("C:/evil", b"x")],
        "link": [(_member_of_mode("tiny.ome.zarr/link", link), str(outside).encode())],
        "through a link": [
            (_member_of_mode("tiny.ome.zarr/link", link), str(outside).encode()),
            ("tiny.ome.zarr/link/evil", b"x"),
        ],
        "fifo": [(_member_of_mode("tiny.ome.zarr/fifo", stat.S_IFIFO | 0o666), b"")],
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
    complete_tar = make_tar(valid, compress=True)
    two = valid + list(in_directory("other.ome.zarr", store_files()).items())
    found = {f"zip: {key}": make_zip(valid + extra) for key, extra in zips.items()}
    found |= {f"tar: {key}": make_tar(valid + extra, compress=True) for key, extra in tars.items()}
    return found | {
        "zip: two stores": make_zip(two),
        "tar: two stores": make_tar(two),
        "zip: no store": make_zip({"notes.txt": b"x"}),
        "tar: no store": make_tar({"notes.txt": b"x"}, compress=True),
        "zip: empty": make_zip({}),
        "tar: empty": make_tar({}),
        "zip: truncated": make_zip(valid)[:-40],
        "zip: damaged": make_zip(valid).replace(valid[-1][1], bytes(len(valid[-1][1]))),
        "zip: encrypted": _patched(make_zip(valid), 6, 8, 1),
        "zip: unknown compression": _patched(make_zip(valid), 8, 10, 77),
        "zip: one file of a store": one_file[:-10],
        "tar: truncated": complete_tar[: len(complete_tar) // 2],
        "tar: damaged": complete_tar[:60] + bytes([complete_tar[60] ^ 0xFF]) + complete_tar[61:],
        "tar: truncated, uncompressed": make_tar(valid)[:1800],
        "HTML page": HTML_PAGE,
        "empty file": b"",
    }


def hostile_lists(outside: Path) -> dict[str, str]:
    """Make lists of files that must be refused; they also contain valid lines."""
    files = store_files()
    valid, digest = file_list(files), sha256(files[".zattrs"])
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
        "directory": f"0/ {digest}",
        "NUL": f"'e\0vil' {digest}",
        "line feed in a name": f"'e\nvil' {digest}",
        "file below a file": f".zattrs/evil {digest}",
        "twice with two checksums": f".zattrs {sha256(b'other')}",
        "MD5": "evil d41d8cd98f00b204e9800998ecf8427e",
        "prefixed MD5": "evil md5:d41d8cd98f00b204e9800998ecf8427e",
        "short checksum": f"evil {digest[:-1]}",
        "not hexadecimal": f"evil {'g' * 64}",
        "no checksum": "evil",
        "another URL": f"evil {digest} http://192.0.2.1/evil",
        "file URL": f"evil {digest} file:///etc/passwd",
        "four columns": f"evil {digest} a b",
        "unclosed quote": f"'evil {digest}",
    }
    return {key: f"{valid}{line}\n" for key, line in lines.items()} | {
        "HTML page": HTML_PAGE.decode(),
        "empty file": "",
        "only comments": "# nothing\n\n",
    }


def valid_archives() -> dict[str, tuple[str, Callable[[], bytes]]]:
    """Return file name and maker of valid archives of all common kinds."""
    files = store_files()
    top = in_directory("tiny.ome.zarr", files)
    directories: list[Any] = [("./", "directory", ""), ("./tiny.ome.zarr", "directory", "")]
    junk = {"__MACOSX/tiny.ome.zarr/._.zattrs": b"junk"}
    return {
        "zip": ("tiny.ome.zarr.zip", lambda: make_zip(top)),
        "deflated zip": ("tiny.ome.zarr.zip", lambda: make_zip(top, compress=True)),
        "zip with directories": (
            "tiny.ome.zarr.zip",
            lambda: make_zip({"tiny.ome.zarr/": b"", "tiny.ome.zarr/0/": b""} | top),
        ),
        "zip without a directory": ("tiny.ome.zarr.zip", lambda: make_zip(files)),
        "zip of another name": ("tiny.ome.zarr.zip", lambda: make_zip(in_directory("data/export.zarr", files))),
        "zip from macOS": ("tiny.ome.zarr.zip", lambda: make_zip(top | junk)),
        "tar": ("tiny.ome.zarr.tar", lambda: make_tar(top)),
        "tar.gz": ("tiny.ome.zarr.tar.gz", lambda: make_tar(top, compress=True)),
        "tgz": ("tiny.ome.zarr.tgz", lambda: make_tar(top, compress=True)),
        "tar with directories": (
            "tiny.ome.zarr.tar.gz",
            lambda: make_tar([*directories, *in_directory(".", top).items()]),
        ),
        "tar named tar.gz": ("tiny.ome.zarr.tar.gz", lambda: make_tar(top)),
        "tar named zip": ("tiny.ome.zarr.zip", lambda: make_tar(top)),
    }
