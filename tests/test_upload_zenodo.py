"""Uploads to an imitation of Zenodo: they arrive whole, can be repeated whatever went wrong, and show no token."""

import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from zenodo_imitation import TOKEN, Stored, Zenodo

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "upload_zenodo.sh"
GUIDE = (ROOT / "docs" / "publishing.md").read_text()
FILES = {"nuclei.bin": bytes(range(256)) * 40, "figures.txt": b"figures\n"}
META = {"metadata": {"title": "t", "upload_type": "dataset", "description": "d", "creators": [{"name": "A, B"}]}}
STATUSES = (401, 403, 404, 413, 429, 500, 503, 502)
REDIRECT = "redirect http://127.0.0.1:1/x"
FAULTS = (*STATUSES, "truncated", "page", "hang up", "stall", REDIRECT)
LENIENT = {404, "truncated", "page"}  # of a deletion: the file is gone, whatever the answer holds

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl", "jq"))), reason="bash, curl and jq are needed to upload"
)


class Desk:
    """A directory from which somebody uploads to a server. No run shows the token or leaves anything behind."""

    def __init__(self, home: Path, server: Zenodo) -> None:
        self.home = home
        self.server = server
        (home / "tmp").mkdir(parents=True)
        (home / "meta.json").write_text(json.dumps(META))
        for name, content in FILES.items():
            (home / name).write_bytes(content)

    def environment(self, **changes: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TMPDIR": str(self.home / "tmp"),
            "ZENODO_TOKEN": TOKEN,
            "ZENODO_URL": self.server.address,
            "ZENODO_RETRIES": "0",
            "ZENODO_STALL_SECONDS": "30",
            **changes,
        }

    def start(self, *arguments: str, options: tuple[str, ...] = (), **changes: str) -> "subprocess.Popen[str]":
        given = arguments if "--meta" in arguments else ("--meta", "meta.json", *arguments)
        return subprocess.Popen(
            ["bash", *options, str(SCRIPT), *given],
            cwd=self.home,
            env=self.environment(**changes),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process: "subprocess.Popen[str]") -> tuple[int, str, str]:
        out, err = process.communicate(timeout=60)
        assert TOKEN not in out + err
        assert not [request for request in self.server.asked if TOKEN in request.path + request.query]
        assert list((self.home / "tmp").iterdir()) == []
        assert not [path for path in self.home.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
        assert "upload_zenodo.sh: line" not in err  # bash itself complains so
        return process.returncode, out, err

    def run(self, *arguments: str, **changes: str) -> tuple[int, str, str]:
        return self.finish(self.start(*arguments, **changes))

    def upload(self, *arguments: str, **changes: str) -> str:
        """Upload, and it works: the address that is printed."""
        code, out, err = self.run(*(arguments or FILES), **changes)
        assert code == 0, err
        return out.removesuffix("\n")

    def refuse(self, *arguments: str, code: int = 1, **changes: str) -> str:
        """Upload, and it fails: what is said."""
        before = len(self.server.asked)
        found, out, err = self.run(*(arguments or FILES), **changes)
        assert (found, out) == (code, ""), err
        assert (code == 2) == (len(self.server.asked) == before)
        return err

    def state(self) -> Any:
        path = self.home / "data" / ".zenodo_draft.json"
        return json.loads(path.read_text()) if path.exists() else {}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Zenodo() as server:
        yield Desk(tmp_path / "desk", server)


def sums(files: dict[str, bytes] = FILES) -> dict[str, str]:
    return {name: Stored(name, content).md5 for name, content in files.items()}


def test_files_and_metadata_arrive_in_a_draft(desk: Desk) -> None:
    assert desk.upload() == f"{desk.server.address}/deposit/101"
    (draft,) = desk.server.drafts()
    assert draft.sums() == sums()
    assert draft.metadata == META["metadata"]
    assert desk.server.steps() == ["create", "metadata", "upload", "upload"]


def test_the_same_command_with_publish_publishes_that_draft_and_forgets_it(desk: Desk) -> None:
    desk.upload()
    assert desk.upload("--publish", *FILES) == f"{desk.server.address}/records/101"
    assert desk.server.steps()[4:] == ["read", "metadata", "read", "publish"]
    assert desk.server.depositions[101].published
    assert desk.state() == {}
    desk.upload()
    assert [draft.id for draft in desk.server.drafts()] == [103]


def after_failures(desk: Desk, step: str, faults: Sequence[str | int], *arguments: str, skip: int = 0) -> None:
    """Every run fails at a step, each in another way; the last one publishes."""
    for fault in faults:
        desk.server.fail(step, *[""] * skip, fault)
        err = desk.refuse(*arguments, ZENODO_STALL_SECONDS="3" if fault == "stall" else "30")
        assert desk.server.steps()[-1] == step
        last = desk.server.asked[-1]
        assert f"{last.method} " in err
        assert last.path in err
        assert "epeat the same command" in err or fault in {413, REDIRECT}
        assert "nothing moved for 3 seconds (ZENODO_STALL_SECONDS)" in err or fault != "stall"
        if fault in STATUSES:
            assert f"answered {fault}" in err
            assert ("Gateway down" if fault == 502 else f"Fault {fault}.") in err
    desk.upload(*arguments)
    assert not desk.server.drafts() or "--publish" not in arguments


def fail_with_a_new_record(desk: Desk, step: str) -> None:
    name, faults, skip = step, FAULTS, 0
    if step == "second upload":
        name, faults, skip = "upload", (503,), 1
    elif step == "check":  # the draft is read before publishing
        desk.upload()
        name, faults, skip = "read", (403, 404, 503, "truncated", "hang up"), 1
    after_failures(desk, name, faults, "--publish", *FILES, skip=skip)
    assert [found.sums() for found in desk.server.depositions.values()] == [sums()]
    assert desk.server.stored == list(FILES)


def fail_with_a_new_version(desk: Desk, step: str) -> None:
    name, faults = step, [fault for fault in FAULTS if step != "delete" or fault not in LENIENT]
    if step == "latest_draft":  # what the link leads to; later runs read the draft that is remembered
        desk.server.style, name, faults = "old", "read", faults[:1]
    record = desk.server.record(nuclei_bin=FILES["nuclei.bin"], old_txt=b"old")
    after_failures(desk, name, faults, "--publish", "--new-version-of", str(record.id), *FILES)
    assert [found.sums() for found in desk.server.depositions.values()] == [record.sums(), sums()]
    assert desk.server.stored == ["figures.txt"]


def fail_to_look_at_the_draft(desk: Desk, step: str) -> None:
    desk.upload()
    after_failures(desk, step, [fault for fault in FAULTS if fault != 404])
    assert list(desk.server.depositions) == [101]
    assert desk.server.stored == list(FILES)


def test_whatever_fails_the_repeated_command_goes_on_with_one_draft_and_sends_no_file_twice(tmp_path: Path) -> None:
    jobs: list[tuple[Callable[[Desk, str], None], str]] = [
        *(
            (fail_with_a_new_record, step)
            for step in ("create", "metadata", "upload", "second upload", "check", "publish")
        ),
        *((fail_with_a_new_version, step) for step in ("newversion", "latest_draft", "delete")),
        (fail_to_look_at_the_draft, "read"),
    ]

    def work(job: Callable[[Desk, str], None], step: str) -> None:
        with Zenodo() as server:
            job(Desk(tmp_path / step, server), step)

    with ThreadPoolExecutor(4) as pool:  # while one waits for a stalled server, others work
        for future in [pool.submit(work, *job) for job in jobs]:
            future.result()


@pytest.mark.parametrize(
    ("step", "fault"),
    [("create", "list"), ("metadata", "empty"), ("upload", "empty"), ("upload", "list"), ("create", "echo")],
)
def test_odd_answers_stop_it(desk: Desk, step: str, fault: str) -> None:
    desk.server.fail(step, fault)
    err = desk.refuse()
    assert desk.server.steps()[-1] == step
    assert "\x1b" not in err
    assert "Bearer ***" in err or fault != "echo"


def test_what_may_be_repeated_safely_is_tried_again_at_once(desk: Desk) -> None:
    desk.server.fail("upload", 503)
    desk.upload("figures.txt", ZENODO_RETRIES="1")
    assert desk.server.steps() == ["create", "metadata", "upload", "upload"]
    desk.server.fail("publish", 503, 503)
    desk.refuse("figures.txt", "--publish", ZENODO_RETRIES="1")
    assert desk.server.steps().count("publish") == 1


def test_an_answer_to_publishing_that_was_lost_does_not_publish_twice(desk: Desk) -> None:
    desk.server.fail("publish", "lost")
    assert "Repeat the same command" in desk.refuse("--publish", *FILES)
    assert desk.upload("--publish", *FILES) == f"{desk.server.address}/records/101"
    assert list(desk.server.depositions) == [101]
    assert desk.server.steps().count("publish") == 1
    assert desk.state() == {}


@pytest.mark.parametrize(
    ("step", "fault", "hint"),
    [
        ("create", "lost", "it is empty: see"),
        ("create", "cut", "it is empty: see"),
        ("newversion", "lost", "by --draft ID"),
        ("newversion", "no id", "by --draft ID"),
    ],
)
def test_an_answer_that_is_lost_says_where_the_draft_may_be(desk: Desk, step: str, fault: str, hint: str) -> None:
    record = desk.server.record(old_txt=b"old")
    arguments = ("--new-version-of", str(record.id)) if step == "newversion" else ()
    desk.server.fail(step, fault)
    err = desk.refuse(*arguments, *FILES)
    assert hint in err
    assert f"{desk.server.address}/me/uploads" in err
    if step == "newversion":  # today's server refuses a second draft
        err = desk.refuse(*arguments, *FILES)
        assert "files.enabled: Please remove all files first." in err
        assert "--draft ID" in err
        desk.upload("--draft", str(desk.server.drafts()[0].id), *FILES)
    else:
        desk.upload()


@pytest.mark.parametrize(
    ("step", "fault"), [("upload", "lost"), ("upload", "cut"), ("delete", "lost"), ("metadata", "lost")]
)
def test_an_answer_that_is_lost_does_no_harm(desk: Desk, step: str, fault: str) -> None:
    record = desk.server.record(old_txt=b"old")
    desk.server.fail(step, fault)
    arguments = ("--new-version-of", str(record.id), *FILES)
    desk.refuse(*arguments)
    desk.upload(*arguments)
    assert sorted(desk.server.uploads()) == sorted(FILES)
    assert desk.server.drafts()[0].sums() == sums()


def test_a_deletion_whose_answer_was_lost_is_tried_again_without_harm(desk: Desk) -> None:
    record = desk.server.record(old_txt=b"old")
    desk.server.fail("delete", 404)
    desk.upload("--new-version-of", str(record.id), *FILES)


def test_a_wrong_sum_stops_and_says_both(desk: Desk) -> None:
    desk.server.fail("upload", "wrong sum")
    err = desk.refuse()
    assert sums()["nuclei.bin"] in err
    assert "0" * 32 in err
    desk.upload()
    assert len(desk.server.depositions) == 1


def test_the_token_goes_to_no_other_host(desk: Desk) -> None:
    with Zenodo() as elsewhere:
        other = elsewhere.address.replace("127.0.0.1", "localhost")
        userinfo = desk.server.address + "@" + elsewhere.address.removeprefix("http://")
        for target in (elsewhere.address, other, userinfo, "//" + other.removeprefix("http://"), "ftp://127.0.0.1"):
            desk.server.fail("create", f"bucket {target}/api/files/1")
            assert "the token is not sent there" in desk.refuse("--fresh", *FILES)
            assert "upload" not in desk.server.steps()
        for step in ("create", "metadata", "upload", "publish"):
            desk.server.fail(step, f"redirect {elsewhere.address}/api/deposit/depositions")
            assert "redirects" in desk.refuse("--fresh", "--publish", *FILES)
        proxies = dict.fromkeys(("http_proxy", "all_proxy", "ALL_PROXY"), elsewhere.address)
        desk.upload(**proxies)
        assert elsewhere.asked == []


def test_a_link_without_a_host_is_of_the_server(desk: Desk) -> None:
    desk.server.fail("create", "bucket /api/files/none")
    assert "PUT /api/files/none/nuclei.bin answered 404" in desk.refuse()


def test_an_answer_without_a_bucket_stops(desk: Desk) -> None:
    desk.server.fail("create", "no bucket")
    assert "lacks links.bucket" in desk.refuse()
    desk.upload()
    assert list(desk.server.depositions) == [101]


def test_metadata_that_the_server_accepts_but_for_a_field_stop(desk: Desk) -> None:
    meta = {"metadata": {**META["metadata"], "license": "unheard-of"}}
    (desk.home / "meta.json").write_text(json.dumps(meta))
    assert "metadata.rights: Invalid license." in desk.refuse()
    assert desk.server.uploads() == []


@pytest.mark.parametrize("style", ["new", "old"])
def test_a_new_version_has_the_given_files_alone(tmp_path: Path, style: str) -> None:
    with Zenodo(style) as server:
        desk = Desk(tmp_path / "desk", server)
        record = server.record(nuclei_bin=FILES["nuclei.bin"], figures_txt=b"other", old_txt=b"old")
        arguments = ("--new-version-of", str(record.id), *FILES)
        desk.upload(*arguments)
        (draft,) = server.drafts()
        assert draft.sums() == sums()
        assert server.uploads() == ["figures.txt"]  # the other one is there already
        draft.files["added.txt"] = Stored("added.txt", b"in the browser")
        assert "it also holds added.txt" in desk.refuse("--publish", *arguments)
        del draft.files["added.txt"]
        desk.upload("--publish", *arguments)
        assert draft.published
        assert set(record.files) == {"nuclei.bin", "figures.txt", "old.txt"}


def test_files_of_the_version_before_stay_if_asked_for(desk: Desk) -> None:
    record = desk.server.record(old_txt=b"old")
    desk.upload("--new-version-of", str(record.id), "--keep-files", "--publish", *FILES)
    assert set(desk.server.depositions[103].files) == {*FILES, "old.txt"}
    assert "delete" not in desk.server.steps()


def test_a_draft_that_is_named_loses_no_file_and_is_not_remembered(desk: Desk) -> None:
    draft = desk.server.add()
    draft.files["mine.txt"] = Stored("mine.txt", b"mine")
    desk.upload("--draft", str(draft.id), *FILES)
    desk.upload("--draft", str(draft.id), "--publish", *FILES)
    assert draft.published
    assert set(draft.files) == {*FILES, "mine.txt"}
    assert desk.state() == {}
    assert len(desk.server.uploads()) == 2


def test_a_draft_that_is_named_must_be_one(desk: Desk) -> None:
    record = desk.server.record(old_txt=b"old")
    assert f"--new-version-of {record.id}" in desk.refuse("--draft", str(record.id), *FILES)
    assert "answered 404" in desk.refuse("--draft", "999", *FILES)
    assert desk.server.uploads() == []


def test_a_draft_that_is_gone_or_published_with_other_files_is_replaced(desk: Desk) -> None:
    desk.upload("nuclei.bin")
    desk.server.depositions[101].gone = True
    desk.upload("nuclei.bin")
    desk.server.depositions[103].published = True
    desk.upload("figures.txt")
    assert desk.server.depositions[105].sums() == sums({"figures.txt": FILES["figures.txt"]})
    del desk.server.depositions[105]
    desk.upload("figures.txt")
    assert desk.server.uploads() == ["nuclei.bin", "nuclei.bin", "figures.txt", "figures.txt"]


def test_drafts_are_remembered_by_server_and_record(desk: Desk) -> None:
    record = desk.server.record(old_txt=b"old")
    desk.upload()
    desk.upload("--new-version-of", str(record.id), *FILES)
    assert len(desk.server.drafts()) == 2
    desk.upload("--publish", *FILES)
    assert [entry["draft"] for entry in desk.state().values()] == [105]
    with Zenodo() as other:
        desk.upload(ZENODO_URL=other.address)
        assert len(other.drafts()) == 1
    desk.upload("--fresh", "--new-version-of", str(desk.server.record(a_txt=b"a").id), *FILES)
    desk.upload("--fresh", *FILES)
    desk.upload("--fresh", *FILES)
    assert len(desk.server.drafts()) == 4


def test_a_draft_that_differs_is_not_published(desk: Desk) -> None:
    desk.upload()
    (draft,) = desk.server.drafts()
    draft.files["other.txt"] = Stored("other.txt", b"other")
    err = desk.refuse("--publish", *FILES)
    assert "it also holds other.txt" in err
    assert "--keep-files" in err
    assert not draft.published
    desk.upload("--publish", "--keep-files", *FILES)
    assert draft.published


def test_a_file_that_changed_is_sent_again(desk: Desk) -> None:
    desk.upload()
    (desk.home / "figures.txt").write_text("others")
    desk.upload()
    assert desk.server.uploads() == ["nuclei.bin", "figures.txt", "figures.txt"]
    assert desk.server.drafts()[0].files["figures.txt"].content == b"others"


def test_odd_names_arrive_as_they_are(desk: Desk) -> None:
    names = [
        "a b.txt",
        "Übergröße.tar.gz",
        "100%41.txt",
        "#1.txt",
        "what?.txt",
        "{a,b}[1-3].txt",
        "-x.txt",
        "&=+;'\"$(x)`.txt",
    ]
    for name in names:
        (desk.home / name).write_text(name)
    desk.upload("--publish", "--", *names)
    assert {name: stored.content.decode() for name, stored in desk.server.depositions[101].files.items()} == {
        name: name for name in names
    }


def test_a_dry_run_says_what_it_would_do_and_sends_nothing(desk: Desk) -> None:
    arguments = ("--dry-run", "--publish", "--new-version-of", "7", "nuclei.bin")
    code, out, err = desk.run(*arguments, ZENODO_TOKEN="")
    assert (code, desk.server.asked) == (0, [])
    assert "nothing was sent" in err
    assert f"nuclei.bin, 10240 bytes, MD5 {sums()['nuclei.bin']}" in out
    assert "POST /api/deposit/depositions/7/actions/newversion" in out
    assert "DELETE /api/deposit/depositions/ID/files" in out
    assert '"title": "t"' in out
    assert "/actions/publish" in out
    assert not (desk.home / "data").exists()
    desk.upload()
    again = desk.run("--dry-run", *FILES)[1]
    assert "GET /api/deposit/depositions/101" in again
    assert "DELETE" not in again


def test_servers(desk: Desk) -> None:
    for arguments, server in (([], "https://zenodo.org"), (["--sandbox"], "https://sandbox.zenodo.org")):
        assert f"server: {server}\n" in desk.run("--dry-run", *arguments, *FILES, ZENODO_URL="")[1]
    for address in (
        "http://zenodo.org",
        "http://127.0.0.1.evil.org",
        "ftp://a",
        "https://a/b",
        "https://a@b",
        "https://",
    ):
        assert "ZENODO_URL" in desk.refuse(code=2, ZENODO_URL=address)


def test_the_token_shows_nowhere(desk: Desk) -> None:
    tools = desk.home / "tools"
    tools.mkdir()
    (tools / "curl").write_text(
        f'#!/bin/bash\ntr "\\0" "\\n" < /proc/$$/cmdline >> "{desk.home}/seen"\nenv >> "{desk.home}/seen"\n'
        f'exec "{shutil.which("curl")}" "$@"\n'
    )
    (tools / "curl").chmod(0o755)
    (desk.home / ".curlrc").write_text(f'verbose\ntrace-ascii = "{desk.home}/trace"\n')
    changes = {"PATH": f"{tools}:{os.environ['PATH']}", "token": "exported", "SHELLOPTS": "allexport:xtrace"}
    desk.server.fail("upload", "echo")
    code, _, err = desk.finish(desk.start("--publish", *FILES, options=("-x",), **changes))  # looks into all files
    assert code == 1
    assert "Bearer ***" in err
    code, _, err = desk.finish(desk.start("--publish", *FILES, **changes))
    assert code == 0, err
    seen = (desk.home / "seen").read_text()
    assert seen.count("/api/deposit/depositions") >= 5
    assert not (desk.home / "trace").exists()


@pytest.mark.parametrize("token", ["", "two words", 'quo"te', "line\nbreak", "back\\slash", "tab\t"])
def test_a_token_that_cannot_be_one_is_refused(desk: Desk, token: str) -> None:
    err = desk.refuse(code=2, ZENODO_TOKEN=token)
    assert "ZENODO_TOKEN" in err
    assert not token or token not in err


@pytest.mark.parametrize("tool", ["curl", "jq"])
def test_a_tool_that_is_missing_is_named(desk: Desk, tool: str) -> None:
    tools = desk.home / "tools"
    tools.mkdir()
    for name in {"bash", "dirname", "mktemp", "md5sum", "curl", "jq", "rm", "cat"} - {tool}:
        (tools / name).symlink_to(shutil.which(name) or "/nowhere")
    assert f"not installed: {tool}." in desk.refuse(code=2, PATH=str(tools))


@pytest.mark.parametrize(
    ("meta", "says"),
    [
        ("{", "not valid JSON"),
        ("", "lacks one JSON object"),
        ("[]", "lacks an object"),
        ("{}", "lacks metadata"),
        (json.dumps({"metadata": {**META["metadata"], "title": " "}}), "lacks metadata.title;"),
        (json.dumps({"metadata": {"title": "t"}}), "metadata.upload_type, metadata.description, metadata.creators;"),
        (json.dumps({"metadata": {**META["metadata"], "creators": [{}]}}), "metadata.creators[0].name"),
    ],
)
def test_bad_metadata_are_refused(desk: Desk, meta: str, says: str) -> None:
    (desk.home / "meta.json").write_text(meta)
    assert says in desk.refuse(code=2)


def test_wrong_arguments_are_refused(desk: Desk) -> None:
    (desk.home / "empty").touch()
    (desk.home / "more").mkdir()
    shutil.copy(desk.home / "nuclei.bin", desk.home / "more")
    (desk.home / "data").mkdir()
    for arguments, says in (
        (["--unknown"], "unknown option --unknown"),
        (["nowhere.bin"], "there is no file nowhere.bin"),
        (["empty"], "empty is empty"),
        (["more"], "more is a directory"),
        (["nuclei.bin", "more/nuclei.bin"], "the same name"),
        (["--draft"], "--draft needs a value"),
        (["--draft", "10.5281/zenodo.7", "nuclei.bin"], "give the number"),
        (["--draft", "7", "--new-version-of", "8", "nuclei.bin"], "give one"),
        (["--draft", "7", "--fresh", "nuclei.bin"], "give one"),
        (["--meta", "nowhere.json", "nuclei.bin"], "cannot read nowhere.json"),
    ):
        assert says in desk.refuse(*arguments, code=2)
    assert "ZENODO_STALL_SECONDS=0" in desk.refuse(code=2, ZENODO_STALL_SECONDS="0")
    assert "ZENODO_RETRIES=many" in desk.refuse(code=2, ZENODO_RETRIES="many")
    (desk.home / "data" / ".zenodo_draft.json").write_text("[1")
    assert "is spoilt" in desk.refuse(code=2)
    code, out, err = desk.run("--help")
    assert (code, err) == (0, "")
    assert "ZENODO_TOKEN" in out


def test_the_archive_of_the_guide_is_what_is_uploaded_by_default(desk: Desk) -> None:
    results = desk.home / "data" / "demo"
    (results / ".partial").mkdir(parents=True)
    (results / ".partial" / "half").write_text("unfinished")
    (results / "raw.ome.zarr").mkdir()
    (results / "raw.ome.zarr" / "zarr.json").write_text("{}")
    code, _, err = desk.run()
    assert code == 2
    command = next(line for line in GUIDE.splitlines() if line.startswith("tar "))
    assert command in err
    assert command in desk.run("--help")[1]
    subprocess.run(["bash", "-c", command], cwd=desk.home, check=True)
    with tarfile.open(desk.home / "data" / "image_translation_outputs.tar.gz") as archive:
        assert [name for name in archive.getnames() if not name.startswith("demo")] == []
        assert "demo/raw.ome.zarr/zarr.json" in archive.getnames()
        assert not [name for name in archive.getnames() if ".partial" in name]
    assert desk.run()[0] == 0
    assert desk.server.uploads() == ["image_translation_outputs.tar.gz"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_stopped_ends_at_once_and_leaves_nothing(desk: Desk, number: signal.Signals, code: int) -> None:
    desk.server.fail("upload", "stall")
    process = desk.start(*FILES)
    assert desk.server.stalled.wait(30)
    begin = time.monotonic()
    process.send_signal(number)
    found, out, err = desk.finish(process)
    assert (found, out) == (code, "")
    assert time.monotonic() - begin < 10
    assert "goes on with draft 101" in err
    desk.upload()
    assert list(desk.server.depositions) == [101]


def test_no_server_is_told(desk: Desk) -> None:
    code, out, err = desk.run(*FILES, ZENODO_URL="http://127.0.0.1:1")
    assert (code, out) == (1, "")
    assert "no connection to the server" in err


def test_the_metadata_of_the_project_are_complete(desk: Desk) -> None:
    desk.upload("--meta", str(ROOT / "meta.json"), "--publish", *FILES)
    assert desk.server.depositions[101].published


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing() -> None:
    found = subprocess.run(["shellcheck", str(SCRIPT)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_the_guide_names_options_that_there_are() -> None:
    commands = re.findall(r"upload_zenodo\.sh ?(.*)", "".join(re.findall(r"```sh\n(.*?)```", GUIDE, flags=re.DOTALL)))
    options = {word for command in commands for word in command.split() if word.startswith("--")}
    assert {"--sandbox", "--publish", "--new-version-of", "--dry-run"} <= options
    text = SCRIPT.read_text()
    for option in options:
        assert re.search(rf"^ +{option}\)", text, flags=re.MULTILINE), option
