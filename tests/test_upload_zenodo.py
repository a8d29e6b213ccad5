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
from support.zenodo_imitation import TOKEN, Stored, Zenodo

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "upload_zenodo.sh"
GUIDE = (ROOT / "docs" / "publishing.md").read_text()
FILES = {"nuclei.bin": bytes(range(256)) * 40, "figures.txt": b"figures\n"}
META = {"metadata": {"title": "t", "upload_type": "dataset", "description": "d", "creators": [{"name": "A, B"}]}}
REDIRECT = "redirect http://127.0.0.1:1/x"
FAILURES: dict[str, list[str | int]] = {  # every step, and how it goes wrong in one run after the other
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

    def noted(self) -> list[str]:
        """The drafts that the next run would go on with."""
        notes = sorted((self.home / "data").glob(".zenodo_draft-*"))
        return [note.read_text().split()[0] for note in notes if note.read_text()]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Zenodo() as server:
        yield Desk(tmp_path / "desk", server)


def sums(files: dict[str, bytes] = FILES) -> dict[str, str]:
    return {name: Stored(name, content).md5 for name, content in files.items()}


def test_files_and_metadata_arrive_in_a_draft(desk: Desk) -> None:
    assert desk.upload() == f"{desk.server.address}/uploads/101"
    (draft,) = desk.server.drafts()
    assert draft.sums() == sums()
    assert draft.metadata == META["metadata"]
    assert desk.server.steps() == ["create", "read", "metadata", "upload", "upload"]


def test_the_same_command_with_publish_publishes_that_draft_and_forgets_it(desk: Desk) -> None:
    desk.upload()
    assert desk.upload("--publish", *FILES) == f"{desk.server.address}/records/101"
    assert desk.server.steps()[5:] == ["read", "metadata", "read", "publish"]
    assert desk.server.depositions[101].published
    assert desk.noted() == []
    desk.upload()
    assert [draft.id for draft in desk.server.drafts()] == [103]


def fail_and_repeat(desk: Desk, place: str) -> None:
    """Every run fails at one step, each in another way; the last one publishes."""
    step = {"check": "read", "second upload": "upload"}.get(place, place)
    arguments = ["--publish", *FILES]
    if place != "create":
        arguments += ["--new-version-of", str(desk.server.record(old_txt=b"old").id)]
    records = len(desk.server.depositions)
    for fault in FAILURES[place]:
        desk.server.fail(step, *([""] if step != place else []), fault)
        err = desk.refuse(*arguments, ZENODO_STALL_SECONDS="1" if fault == "stall" else "30")
        last = desk.server.asked[-1]
        assert last.step == step
        assert f"{last.method} {last.path}" in err
        assert "repeat the same command" in err
        assert "curl: (28) Operation too slow" in err or fault != "stall"
        if isinstance(fault, int):
            assert f"answered {fault}: {'Gateway down Sorry' if fault == 502 else f'Fault {fault}.'}" in err
    desk.upload(*arguments)
    drafts = list(desk.server.depositions.values())[records:]
    assert [draft.sums() for draft in drafts if draft.published] == [sums()]
    assert len(drafts) == 1 + FAILURES[place].count("no id")  # nobody knows the draft whose number was not told
    assert desk.server.stored == list(FILES)


def test_whatever_fails_the_repeated_command_goes_on_with_one_draft_and_sends_no_file_twice(tmp_path: Path) -> None:
    def work(place: str) -> None:
        with Zenodo() as server:
            fail_and_repeat(Desk(tmp_path / place, server), place)

    with ThreadPoolExecutor(4) as pool:  # while one waits for a stalled server, others work
        for future in [pool.submit(work, place) for place in FAILURES]:
            future.result()


def test_an_answer_to_publishing_that_was_lost_does_not_publish_twice(desk: Desk) -> None:
    desk.server.fail("publish", "lost")
    desk.refuse("--publish", *FILES)
    assert desk.upload("--publish", *FILES) == f"{desk.server.address}/records/101"
    assert desk.server.steps().count("publish") == 1
    assert desk.noted() == []


def test_a_draft_whose_number_was_lost_can_be_named(desk: Desk) -> None:
    record = desk.server.record(old_txt=b"old")
    desk.server.fail("newversion", "lost")
    assert f"{desk.server.address}/me/uploads" in desk.refuse("--new-version-of", str(record.id), *FILES)
    err = desk.refuse("--new-version-of", str(record.id), *FILES)  # today's server refuses a second draft
    assert "files.enabled: Please remove all files first." in err
    assert "--draft" in err
    desk.upload("--draft", str(desk.server.drafts()[0].id), *FILES)


def test_a_wrong_sum_stops_and_says_both(desk: Desk) -> None:
    desk.server.fail("upload", "wrong sum")
    err = desk.refuse()
    assert sums()["nuclei.bin"] in err
    assert "0" * 32 in err
    desk.upload()
    assert len(desk.server.depositions) == 1


def test_a_draft_that_lost_a_file_meanwhile_is_not_published(desk: Desk) -> None:
    desk.server.fail("read", "", "no files")
    assert "not published: the draft lacks nuclei.bin figures.txt" in desk.refuse("--publish", *FILES)
    assert "publish" not in desk.server.steps()


def test_the_token_goes_to_no_other_host(desk: Desk) -> None:
    with Zenodo() as elsewhere:
        other = elsewhere.address.replace("127.0.0.1", "localhost")
        userinfo = desk.server.address + "@" + elsewhere.address.removeprefix("http://")
        for target in (elsewhere.address, other, userinfo, "//" + other.removeprefix("http://")):
            desk.server.fail("read", f"bucket {target}/api/files/1")
            assert "the token is not sent there" in desk.refuse()
            assert "upload" not in desk.server.steps()
        for step in ("read", "upload"):
            desk.server.fail(step, f"redirect {elsewhere.address}/api/deposit/depositions")
            assert "answered 302" in desk.refuse()
        desk.upload(**dict.fromkeys(("http_proxy", "all_proxy", "ALL_PROXY"), elsewhere.address))
        assert elsewhere.asked == []


def test_metadata_that_the_server_accepts_but_for_a_field_stop(desk: Desk) -> None:
    meta = {"metadata": {**META["metadata"], "license": "unheard-of"}}
    (desk.home / "meta.json").write_text(json.dumps(meta))
    assert "metadata.rights: Invalid license." in desk.refuse()
    assert desk.server.uploads() == []


def test_a_new_version_has_the_given_files_alone(tmp_path: Path) -> None:
    with Zenodo("old") as server:  # it answers with the record, and a link to the draft
        desk = Desk(tmp_path / "desk", server)
        record = server.record(nuclei_bin=FILES["nuclei.bin"], figures_txt=b"other", old_txt=b"old")
        arguments = ("--new-version-of", str(record.id), *FILES)
        desk.upload(*arguments)
        (draft,) = server.drafts()
        assert draft.sums() == sums()
        assert server.uploads() == ["figures.txt"]  # the other one is already uploaded
        draft.files["added.txt"] = Stored("added.txt", b"in the browser")
        assert "the draft also contains added.txt." in desk.refuse("--publish", *arguments)
        del draft.files["added.txt"]
        desk.upload("--publish", *arguments)
        assert draft.published
        assert set(record.files) == {"nuclei.bin", "figures.txt", "old.txt"}


def test_files_of_the_version_before_stay_if_asked_for(desk: Desk) -> None:
    record = desk.server.record(old_txt=b"old")
    desk.upload("--new-version-of", str(record.id), "--keep-files", "--publish", *FILES)
    assert set(desk.server.depositions[103].files) == {*FILES, "old.txt"}
    assert "delete" not in desk.server.steps()


def test_a_draft_that_is_named_loses_no_file_and_is_not_noted(desk: Desk) -> None:
    draft = desk.server.add()
    draft.files["mine.txt"] = Stored("mine.txt", b"mine")
    desk.upload("--draft", str(draft.id), *FILES)
    assert "also contains mine.txt" in desk.refuse("--draft", str(draft.id), "--publish", *FILES)
    assert not draft.published
    desk.upload("--draft", str(draft.id), "--publish", "--keep-files", *FILES)
    assert draft.published
    assert draft.sums() == sums({**FILES, "mine.txt": b"mine"})
    assert desk.noted() == []


def test_a_draft_that_is_named_must_be_one(desk: Desk) -> None:
    record = desk.server.record(old_txt=b"old")
    assert f"--new-version-of {record.id}" in desk.refuse("--draft", str(record.id), *FILES)
    assert "answered 404" in desk.refuse("--draft", "999", *FILES)
    assert desk.server.uploads() == []


def test_a_noted_draft_that_is_gone_or_published_with_other_files_says_how_to_begin_another(desk: Desk) -> None:
    desk.upload("nuclei.bin")
    (note,) = (desk.home / "data").glob(".zenodo_draft-*")
    desk.server.depositions[101].gone = True
    err = desk.refuse("nuclei.bin")
    assert "answered 410: The record has been deleted." in err
    assert f"delete data/{note.name}" in err
    note.unlink()
    desk.upload("nuclei.bin")
    desk.server.depositions[103].published = True
    assert f"delete data/{note.name}" in desk.refuse("figures.txt").splitlines()[-1]
    note.unlink()
    desk.upload("figures.txt")
    assert desk.server.depositions[105].sums() == sums({"figures.txt": FILES["figures.txt"]})


def test_drafts_are_noted_by_server_and_record(desk: Desk) -> None:
    record = desk.server.record(old_txt=b"old")
    desk.upload()
    desk.upload("--new-version-of", str(record.id), *FILES)
    with Zenodo() as other:
        desk.upload("figures.txt", ZENODO_URL=other.address)
        assert [draft.id for draft in other.drafts()] == [101]
    assert sorted(desk.noted()) == ["101", "103", "105"]
    desk.upload("--publish", *FILES)
    assert sorted(desk.noted()) == ["101", "105"]


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
    assert f"nuclei.bin, MD5 {sums()['nuclei.bin']}" in out
    assert "a new version of 7" in out
    assert "deleted: files of the previous version" in out
    assert '"title": "t"' in out
    assert "published: yes" in out
    assert not (desk.home / "data").exists()
    desk.upload()
    again = desk.run("--dry-run", *FILES)[1]
    assert "draft: 101, of an earlier run" in again
    assert "published: no" in again
    assert "deleted" not in again


def test_servers(desk: Desk) -> None:
    for arguments, server in (([], "https://zenodo.org"), (["--sandbox"], "https://sandbox.zenodo.org")):
        assert f"server: {server}\n" in desk.run("--dry-run", *arguments, *FILES, ZENODO_URL="")[1]
    for address in ("http://zenodo.org", "http://127.0.0.1.evil.org", "ftp://a", "https://a@b", "https://"):
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
    assert "\x1b" not in err
    code, _, err = desk.finish(desk.start("--publish", *FILES, **changes))
    assert code == 0, err
    seen = (desk.home / "seen").read_text()
    assert seen.count("/api/deposit/depositions") >= 5
    assert not (desk.home / "trace").exists()


def test_a_token_that_cannot_be_one_is_refused(desk: Desk) -> None:
    for token in ("", "two words", 'quo"te', "line\nbreak", "back\\slash"):
        err = desk.refuse(code=2, ZENODO_TOKEN=token)
        assert "ZENODO_TOKEN is not set, or it is not a token" in err
        assert not token or token not in err


@pytest.mark.parametrize("tool", ["curl", "jq"])
def test_a_tool_that_is_missing_is_named(desk: Desk, tool: str) -> None:
    tools = desk.home / "tools"
    tools.mkdir()
    for name in {"bash", "dirname", "mktemp", "md5sum", "curl", "jq", "rm", "cat"} - {tool}:
        (tools / name).symlink_to(shutil.which(name) or "/nowhere")
    assert f"{tool} is not installed" in desk.refuse(code=2, PATH=str(tools))


def test_bad_metadata_are_refused(desk: Desk) -> None:
    nameless = {**META["metadata"], "creators": [{}]}
    for meta in ("{", "", "[]", "{}", '{"metadata": {"title": "t"}}', json.dumps({"metadata": nameless})):
        (desk.home / "meta.json").write_text(meta)
        assert "meta.json must be JSON with metadata: title, upload_type" in desk.refuse(code=2)


def test_wrong_arguments_are_refused(desk: Desk) -> None:
    (desk.home / "empty").touch()
    (desk.home / "more").mkdir()
    shutil.copy(desk.home / "nuclei.bin", desk.home / "more")
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
        assert message in desk.refuse(*arguments, code=2)
    desk.upload()
    next((desk.home / "data").glob(".zenodo_draft-*")).write_text("[1")
    assert "is corrupt" in desk.refuse(code=2)
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


def test_a_run_that_is_stopped_by_the_keyboard_says_how_to_go_on_and_leaves_nothing(desk: Desk) -> None:
    desk.server.fail("upload", "stall")
    process = desk.start(*FILES)
    assert desk.server.stalled.wait(30)
    os.killpg(process.pid, signal.SIGINT)
    code, out, err = desk.finish(process)
    assert (code, out) == (1, "")
    assert "interrupted" in err
    assert "continues with draft 101" in err
    desk.upload()
    assert list(desk.server.depositions) == [101]


def test_no_server_is_told(desk: Desk) -> None:
    code, out, err = desk.run(*FILES, ZENODO_URL="http://127.0.0.1:1")
    assert (code, out) == (1, "")
    assert "Failed to connect to 127.0.0.1" in err
    assert "no complete response from http://127.0.0.1:1" in err


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
    usage = subprocess.run(["bash", str(SCRIPT), "--help"], capture_output=True, text=True, check=True).stdout
    for option in options:
        assert re.search(rf"^  {option} ", usage, flags=re.MULTILINE), option
