"""How every command ends when its standard streams are closed, full, or read no further."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, sys
from types import SimpleNamespace
from image_translation.cli.program import execute, run_process, say

def run(arguments):
    with open("chunk", "wb") as file:  # must not get the number of a stream that is closed
        os.write(2, b"a library's message\\n")
        os.write(1, b"another\\n") if sys.argv[1:] else None
        file.write(b"pixels")
    say("a result" * 20000)
    say("the end")
    print("done", file=open("done", "w"))

run_process(lambda: execute(SimpleNamespace(run=run, verbose=False)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize(
    ("redirection", "code", "error"),
    [
        ("stdout >&-", 0, "a library's message\n"),
        (">&- 2>&-", 0, ""),
        ("stdout >&- 2>&- <&-", 0, ""),
        ("| true", 0, "a library's message\n"),
        ("| head -c 1 > /dev/null", 0, "a library's message\n"),
        (
            "> /dev/full",
            1,
            "a library's message\nimage-translation: error: stdout cannot be written to: No space left on device\n",
        ),
    ],
)
def test_results_are_complete_and_the_exit_code_is_right(
    tmp_path: Path, redirection: str, code: int, error: str
) -> None:
    if "/dev/full" in redirection and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    (tmp_path / "program.py").write_text(PROGRAM)
    command = f"set -o pipefail; '{sys.executable}' program.py {redirection}"
    result = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (code, error)
    assert (tmp_path / "chunk").read_bytes() == b"pixels"
    assert (tmp_path / "done").exists() is (code == 0)
