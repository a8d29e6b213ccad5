"""A display for tests with windows: a virtual one if there is Xvfb, so that nothing pops up."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SIZE = "1500x1000x24"
_PROGRAM = """
from qtpy.QtGui import QOffscreenSurface, QOpenGLContext
from qtpy.QtWidgets import QApplication
application = QApplication([])
surface, context = QOffscreenSurface(), QOpenGLContext()
surface.create()
raise SystemExit(0 if context.create() and context.makeCurrent(surface) else "no OpenGL")
"""


@contextmanager
def virtual_display() -> Iterator[dict[str, str]]:
    """Return the environment variables of a virtual display; none if there is no Xvfb."""
    if not shutil.which("Xvfb"):
        yield {}
        return
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", SIZE, "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL) as server:
        os.close(write)
        try:
            with os.fdopen(read) as pipe:
                yield {"DISPLAY": f":{pipe.readline().strip()}", "QT_QPA_PLATFORM": "xcb"}
        finally:
            server.terminate()


def why_no_window(environment: dict[str, str]) -> str:
    """Return why no window with OpenGL can be opened; empty if it can. Tried in a process, which Qt would end."""
    tried = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return "" if tried.returncode == 0 else tried.stderr.strip() or f"exit code {tried.returncode}"
