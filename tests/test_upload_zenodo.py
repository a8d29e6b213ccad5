"""Uploads to a simulated Zenodo: files are complete, every failure can be resumed, and the token is never shown."""

import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.fake_zenodo import TOKEN, FakeZenodo, StoredFile

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "upload_zenodo.sh"
GUIDE = (ROOT / "docs" / "publishing.md").read_text()
FILES = {"nuclei.bin": bytes(range(256)) * 40, "figures.txt": b"figures\n"}
META = {"metadata": {"title": "t", "upload_type": "dataset", "description": "d", "creators": [{"name": "A, B"}]}}
REDIRECT = "redirect http://127.0.0.1:1/x"
FAILURES: dict[str, list[str | int]] = {  # step and the failures of successive runs
    "create": [401, "truncated", "no id"],
    "newversion": [403, "hang up"],
    "read": [404, "list", "no bucket"],
    "delete": [REDIRECT, "lost"],
    "metadata": [429, "empty", "lost"],
    "upload": ["stall", "page", "cut"],
    "second upload": [413],
    "check": ["truncated", "stall"],  # the draft is read once more before publishing
    "publish": [502, "list"],
}

pytestmark = pytest.mark.skipif(not all(map(shutil.which, ("bash", "curl", "jq"))), reason="needs bash, curl and jq")


class Client:
    """A home directory from which the script is run; checks that no run shows the token or leaves temporary files."""

    def __init__(self, home: Path, server: FakeZenodo) -> None:
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
            "ZENODO_URL": self.server.url,
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
            start_new_session=True,
        )

    def finish(self, process: "subprocess.Popen[str]") -> tuple[int, str, str]:
        out, err = process.communicate(timeout=60)
        assert TOKEN not in out + err
        assert not [request for request in self.server.requests if TOKEN in request.path + request.query]
        assert list((self.home / "tmp").iterdir()) == []
        assert not [path for path in self.home.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
        assert "upload_zenodo.sh: line" not in err  # an error of bash itself
        return process.returncode, out, err

    def run(self, *arguments: str, **changes: str) -> tuple[int, str, str]:
        return self.finish(self.start(*arguments, **changes))

    def upload(self, *arguments: str, **changes: str) -> str:
        """Upload successfully, and return the URL that is printed."""
        code, out, err = self.run(*(arguments or FILES), **changes)
        assert code == 0, err
        return out.removesuffix("\n")

    def fail(self, *arguments: str, code: int = 1, **changes: str) -> str:
        """Fail to upload, and return the error output."""
        before = len(self.server.requests)
        found, out, err = self.run(*(arguments or FILES), **changes)
        assert (found, out) == (code, ""), err
        assert (code == 2) == (len(self.server.requests) == before)
        return err

    def remembered(self) -> list[str]:
        """Return the drafts that the next run would continue."""
        notes = sorted((self.home / "data").glob(".zenodo_draft-*"))
        return [note.read_text().split()[0] for note in notes if note.read_text()]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with FakeZenodo() as server:
        yield Client(tmp_path / "client", server)


def checksums(files: dict[str, bytes] = FILES) -> dict[str, str]:
    return {name: StoredFile(name, content).md5 for name, content in files.items()}


def test_files_and_metadata_are_uploaded_to_a_draft(client: Client) -> None:
    assert client.upload() == f"{client.server.url}/uploads/101"
    (draft,) = client.server.drafts()
    assert draft.checksums() == checksums()
    assert draft.metadata == META["metadata"]
    assert client.server.steps() == ["create", "read", "metadata", "upload", "upload"]


def test_the_same_command_with_publish_publishes_the_draft(client: Client) -> None:
    client.upload()
    assert client.upload("--publish", *FILES) == f"{client.server.url}/records/101"
    assert client.server.steps()[5:] == ["read", "metadata", "read", "publish"]
    assert client.server.depositions[101].published
    assert client.remembered() == []
    client.upload()
    assert [draft.id for draft in client.server.drafts()] == [103]


def fail_and_repeat(client: Client, place: str) -> None:
    """Let successive runs fail at one step in different ways; the last one publishes."""
    step = {"check": "read", "second upload": "upload"}.get(place, place)
    arguments = ["--publish", *FILES]
    if place != "create":
        arguments += ["--new-version-of", str(client.server.record(old_txt=b"old").id)]
    records = len(client.server.depositions)
    for fault in FAILURES[place]:
        client.server.fail(step, *([""] if step != place else []), fault)
        err = client.fail(*arguments, ZENODO_STALL_SECONDS="1" if fault == "stall" else "30")
        last = client.server.requests[-1]
        assert last.step == step
        assert f"{last.method} {last.path}" in err
        assert "repeat the same command" in err
        assert "curl: (28) Operation too slow" in err or fault != "stall"
        if isinstance(fault, int):
            assert f"answered {fault}: {'Gateway down Sorry' if fault == 502 else f'Fault {fault}.'}" in err
    client.upload(*arguments)
    drafts = list(client.server.depositions.values())[records:]
    assert [draft.checksums() for draft in drafts if draft.published] == [checksums()]
    assert len(drafts) == 1 + FAILURES[place].count("no id")  # the number of such a draft is lost
    assert client.server.stored == list(FILES)


def test_a_repeated_command_continues_the_draft_and_uploads_no_file_twice(tmp_path: Path) -> None:
    def work(place: str) -> None:
        with FakeZenodo() as server:
            fail_and_repeat(Client(tmp_path / place, server), place)

    with ThreadPoolExecutor(4) as pool:  # some wait for a stalled server
        for future in [pool.submit(work, place) for place in FAILURES]:
            future.result()


def test_a_lost_reply_does_not_cause_a_second_publication(client: Client) -> None:
    client.server.fail("publish", "lost")
    client.fail("--publish", *FILES)
    assert client.upload("--publish", *FILES) == f"{client.server.url}/records/101"
    assert client.server.steps().count("publish") == 1
    assert client.remembered() == []


def test_a_draft_can_be_continued_by_its_number(client: Client) -> None:
    record = client.server.record(old_txt=b"old")
    client.server.fail("newversion", "lost")
    assert f"{client.server.url}/me/uploads" in client.fail("--new-version-of", str(record.id), *FILES)
    err = client.fail("--new-version-of", str(record.id), *FILES)  # the real server refuses a second draft
    assert "files.enabled: Please remove all files first." in err
    assert "--draft" in err
    client.upload("--draft", str(client.server.drafts()[0].id), *FILES)


def test_a_wrong_checksum_is_an_error_that_shows_both(client: Client) -> None:
    client.server.fail("upload", "wrong checksum")
    err = client.fail()
    assert checksums()["nuclei.bin"] in err
    assert "0" * 32 in err
    client.upload()
    assert len(client.server.depositions) == 1


def test_a_draft_with_a_missing_file_is_not_published(client: Client) -> None:
    client.server.fail("read", "", "no files")
    assert "not published: the draft lacks nuclei.bin figures.txt" in client.fail("--publish", *FILES)
    assert "publish" not in client.server.steps()


def test_the_token_is_not_sent_to_other_hosts(client: Client) -> None:
    with FakeZenodo() as elsewhere:
        other = elsewhere.url.replace("127.0.0.1", "localhost")
        userinfo = client.server.url + "@" + elsewhere.url.removeprefix("http://")
        for target in (elsewhere.url, other, userinfo, "//" + other.removeprefix("http://")):
            client.server.fail("read", f"bucket {target}/api/files/1")
            assert "the token is not sent there" in client.fail()
            assert "upload" not in client.server.steps()
        for step in ("read", "upload"):
            client.server.fail(step, f"redirect {elsewhere.url}/api/deposit/depositions")
            assert "answered 302" in client.fail()
        client.upload(**dict.fromkeys(("http_proxy", "all_proxy", "ALL_PROXY"), elsewhere.url))
        assert elsewhere.requests == []


def test_metadata_errors_in_a_successful_reply_are_reported(client: Client) -> None:
    meta = {"metadata": {**META["metadata"], "license": "unheard-of"}}
    (client.home / "meta.json").write_text(json.dumps(meta))
    assert "metadata.rights: Invalid license." in client.fail()
    assert client.server.uploads() == []


def test_a_new_version_contains_only_the_given_files(tmp_path: Path) -> None:
    with FakeZenodo("old") as server:  # replies with the record and a link to the draft
        client = Client(tmp_path / "client", server)
        record = server.record(nuclei_bin=FILES["nuclei.bin"], figures_txt=b"other", old_txt=b"old")
        arguments = ("--new-version-of", str(record.id), *FILES)
        client.upload(*arguments)
        (draft,) = server.drafts()
        assert draft.checksums() == checksums()
        assert server.uploads() == ["figures.txt"]  # the other one is already uploaded
        draft.files["added.txt"] = StoredFile("added.txt", b"in the browser")
        assert "the draft also contains added.txt." in client.fail("--publish", *arguments)
        del draft.files["added.txt"]
        client.upload("--publish", *arguments)
        assert draft.published
        assert set(record.files) == {"nuclei.bin", "figures.txt", "old.txt"}


def test_keep_files_keeps_files_of_the_earlier_version(client: Client) -> None:
    record = client.server.record(old_txt=b"old")
    client.upload("--new-version-of", str(record.id), "--keep-files", "--publish", *FILES)
    assert set(client.server.depositions[103].files) == {*FILES, "old.txt"}
    assert "delete" not in client.server.steps()


def test_no_file_of_a_given_draft_is_deleted(client: Client) -> None:
    draft = client.server.add()
    draft.files["mine.txt"] = StoredFile("mine.txt", b"mine")
    client.upload("--draft", str(draft.id), *FILES)
    assert "also contains mine.txt" in client.fail("--draft", str(draft.id), "--publish", *FILES)
    assert not draft.published
    client.upload("--draft", str(draft.id), "--publish", "--keep-files", *FILES)
    assert draft.published
    assert draft.checksums() == checksums({**FILES, "mine.txt": b"mine"})
    assert client.remembered() == []


def test_a_given_draft_must_exist_and_be_unpublished(client: Client) -> None:
    record = client.server.record(old_txt=b"old")
    assert f"--new-version-of {record.id}" in client.fail("--draft", str(record.id), *FILES)
    assert "answered 404" in client.fail("--draft", "999", *FILES)
    assert client.server.uploads() == []


def test_the_error_for_a_deleted_draft_says_how_to_start_a_new_one(client: Client) -> None:
    client.upload("nuclei.bin")
    (note,) = (client.home / "data").glob(".zenodo_draft-*")
    client.server.depositions[101].gone = True
    err = client.fail("nuclei.bin")
    assert "answered 410: The record has been deleted." in err
    assert f"delete data/{note.name}" in err
    note.unlink()
    client.upload("nuclei.bin")
    client.server.depositions[103].published = True
    assert f"delete data/{note.name}" in client.fail("figures.txt").splitlines()[-1]
    note.unlink()
    client.upload("figures.txt")
    assert client.server.depositions[105].checksums() == checksums({"figures.txt": FILES["figures.txt"]})


def test_drafts_are_remembered_by_server_and_record(client: Client) -> None:
    record = client.server.record(old_txt=b"old")
    client.upload()
    client.upload("--new-version-of", str(record.id), *FILES)
    with FakeZenodo() as other:
        client.upload("figures.txt", ZENODO_URL=other.url)
        assert [draft.id for draft in other.drafts()] == [101]
    assert sorted(client.remembered()) == ["101", "103", "105"]
    client.upload("--publish", *FILES)
    assert sorted(client.remembered()) == ["101", "105"]


def test_a_changed_file_is_uploaded_again(client: Client) -> None:
    client.upload()
    (client.home / "figures.txt").write_text("others")
    client.upload()
    assert client.server.uploads() == ["nuclei.bin", "figures.txt", "figures.txt"]
    assert client.server.drafts()[0].files["figures.txt"].content == b"others"


def test_special_characters_in_file_names_are_kept(client: Client) -> None:
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
        (client.home / name).write_text(name)
    client.upload("--publish", "--", *names)
    assert {name: stored.content.decode() for name, stored in client.server.depositions[101].files.items()} == {
        name: name for name in names
    }


def test_a_dry_run_describes_the_upload_and_sends_nothing(client: Client) -> None:
    arguments = ("--dry-run", "--publish", "--new-version-of", "7", "nuclei.bin")
    code, out, err = client.run(*arguments, ZENODO_TOKEN="")
    assert (code, client.server.requests) == (0, [])
    assert "nothing was sent" in err
    assert f"nuclei.bin, MD5 {checksums()['nuclei.bin']}" in out
    assert "a new version of 7" in out
    assert "deleted: files of the previous version" in out
    assert '"title": "t"' in out
    assert "published: yes" in out
    assert not (client.home / "data").exists()
    client.upload()
    again = client.run("--dry-run", *FILES)[1]
    assert "draft: 101, of an earlier run" in again
    assert "published: no" in again
    assert "deleted" not in again


def test_server_urls_are_validated(client: Client) -> None:
    for arguments, server in (([], "https://zenodo.org"), (["--sandbox"], "https://sandbox.zenodo.org")):
        assert f"server: {server}\n" in client.run("--dry-run", *arguments, *FILES, ZENODO_URL="")[1]
    for url in ("http://zenodo.org", "http://127.0.0.1.evil.org", "ftp://a", "https://a@b", "https://"):
        assert "ZENODO_URL" in client.fail(code=2, ZENODO_URL=url)


def test_the_token_is_never_shown(client: Client) -> None:
    tools = client.home / "tools"
    tools.mkdir()
    (tools / "curl").write_text(
        f'#!/bin/bash\ntr "\\0" "\\n" < /proc/$$/cmdline >> "{client.home}/seen"\nenv >> "{client.home}/seen"\n'
        f'exec "{shutil.which("curl")}" "$@"\n'
    )
    (tools / "curl").chmod(0o755)
    (client.home / ".curlrc").write_text(f'verbose\ntrace-ascii = "{client.home}/trace"\n')
    changes = {"PATH": f"{tools}:{os.environ['PATH']}", "token": "exported", "SHELLOPTS": "allexport:xtrace"}
    client.server.fail("upload", "echo")
    code, _, err = client.finish(client.start("--publish", *FILES, options=("-x",), **changes))
    assert code == 1
    assert "Bearer ***" in err
    assert "\x1b" not in err
    code, _, err = client.finish(client.start("--publish", *FILES, **changes))
    assert code == 0, err
    seen = (client.home / "seen").read_text()
    assert seen.count("/api/deposit/depositions") >= 5
    assert not (client.home / "trace").exists()


def test_an_invalid_token_is_refused(client: Client) -> None:
    for token in ("", "two words", 'quo"te', "line\nbreak", "back\\slash"):
        err = client.fail(code=2, ZENODO_TOKEN=token)
        assert "ZENODO_TOKEN is not set, or it is not a token" in err
        assert not token or token not in err


@pytest.mark.parametrize("tool", ["curl", "jq"])
def test_a_missing_tool_is_named(client: Client, tool: str) -> None:
    tools = client.home / "tools"
    tools.mkdir()
    for name in {"bash", "dirname", "mktemp", "md5sum", "curl", "jq", "rm", "cat"} - {tool}:
        (tools / name).symlink_to(shutil.which(name) or "/nowhere")
    assert f"{tool} is not installed" in client.fail(code=2, PATH=str(tools))


def test_invalid_metadata_are_refused(client: Client) -> None:
    nameless = {**META["metadata"], "creators": [{}]}
    for meta in ("{", "", "[]", "{}", '{"metadata": {"title": "t"}}', json.dumps({"metadata": nameless})):
        (client.home / "meta.json").write_text(meta)
        assert "meta.json must be JSON with metadata: title, upload_type" in client.fail(code=2)


def test_the_untouched_metadata_of_the_project_are_refused_unless_given(client: Client) -> None:
    script = shutil.copy(SCRIPT, client.home / "upload_zenodo.sh")
    shutil.copy(ROOT / "meta.json", client.home)
    run = [
        subprocess.run(
            ["bash", script, *given, "--dry-run", *FILES],
            cwd=client.home, env=client.environment(), capture_output=True, text=True, check=False,
        )
        for given in ([], ["--meta", "meta.json"])
    ]  # fmt: skip
    assert [process.returncode for process in run] == [2, 0]
    assert "meta.json still has the creator 'the image_translation contributors'" in run[0].stderr
    assert client.server.steps() == []


def test_invalid_arguments_are_refused(client: Client) -> None:
    (client.home / "empty").touch()
    (client.home / "more").mkdir()
    shutil.copy(client.home / "nuclei.bin", client.home / "more")
    for arguments, message in (
        (["--unknown"], "unknown option --unknown"),
        (["nowhere.bin"], "nowhere.bin does not exist"),
        (["empty"], "is empty"),
        (["more"], "a directory"),
        (["nuclei.bin", "more/nuclei.bin"], "two of the files are named nuclei.bin"),
        (["--draft"], "--draft needs the number"),
        (["--draft", "10.5281/zenodo.7", "nuclei.bin"], "--draft needs the number"),
        (["--draft", "7", "--new-version-of", "8", "nuclei.bin"], "give only one of them"),
        (["--meta", "nowhere.json", "nuclei.bin"], "nowhere.json"),
    ):
        assert message in client.fail(*arguments, code=2)
    client.upload()
    next((client.home / "data").glob(".zenodo_draft-*")).write_text("[1")
    assert "is corrupt" in client.fail(code=2)
    code, out, err = client.run("--help")
    assert (code, err) == (0, "")
    assert "ZENODO_TOKEN" in out


def test_the_archive_described_in_the_guide_is_the_default(client: Client) -> None:
    results = client.home / "data" / "demo"
    (results / ".partial").mkdir(parents=True)
    (results / ".partial" / "half").write_text("unfinished")
    (results / "raw.ome.zarr").mkdir()
    (results / "raw.ome.zarr" / "zarr.json").write_text("{}")
    code, _, err = client.run()
    assert code == 2
    command = next(line for line in GUIDE.splitlines() if line.startswith("tar "))
    assert command in err
    assert command in client.run("--help")[1]
    subprocess.run(["bash", "-c", command], cwd=client.home, check=True)
    with tarfile.open(client.home / "data" / "image_translation_outputs.tar.gz") as archive:
        assert [name for name in archive.getnames() if not name.startswith("demo")] == []
        assert "demo/raw.ome.zarr/zarr.json" in archive.getnames()
        assert not [name for name in archive.getnames() if ".partial" in name]
    assert client.run()[0] == 0
    assert client.server.uploads() == ["image_translation_outputs.tar.gz"]


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_upload_says_how_to_continue_and_cleans_up(client: Client) -> None:
    client.server.fail("upload", "stall")
    process = client.start(*FILES)
    assert client.server.stalled.wait(30)
    os.killpg(process.pid, signal.SIGINT)
    code, out, err = client.finish(process)
    assert (code, out) == (1, "")
    assert "interrupted" in err
    assert "continues with draft 101" in err
    client.upload()
    assert list(client.server.depositions) == [101]


def test_an_unreachable_server_is_reported(client: Client) -> None:
    code, out, err = client.run(*FILES, ZENODO_URL="http://127.0.0.1:1")
    assert (code, out) == (1, "")
    assert "Failed to connect to 127.0.0.1" in err
    assert "no complete response from http://127.0.0.1:1" in err


def test_the_metadata_of_the_project_are_complete(client: Client) -> None:
    client.upload("--meta", str(ROOT / "meta.json"), "--publish", *FILES)
    assert client.server.depositions[101].published


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_reports_nothing() -> None:
    found = subprocess.run(["shellcheck", str(SCRIPT)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_options_in_the_guide_exist() -> None:
    commands = re.findall(r"upload_zenodo\.sh ?(.*)", "".join(re.findall(r"```sh\n(.*?)```", GUIDE, flags=re.DOTALL)))
    options = {word for command in commands for word in command.split() if word.startswith("--")}
    assert {"--sandbox", "--publish", "--new-version-of", "--dry-run"} <= options
    usage = subprocess.run(["bash", str(SCRIPT), "--help"], capture_output=True, text=True, check=True).stdout
    for option in options:
        assert re.search(rf"^  {option} ", usage, flags=re.MULTILINE), option
