"""Controls, messages and layout of the explorer's notebook: `server` serves it."""

import sys
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import marimo as mo

from image_translation import data
from image_translation.data.lookup import Kind
from image_translation.errors import ImageTranslationError
from image_translation.figures import tile_html
from image_translation.normalize import METHODS, Method

if TYPE_CHECKING:
    from image_translation.explorer.inspector import Activations, Inspector, NetworkInput
    from image_translation.explorer.sections import Section
    from image_translation.explorer.session import Session
    from image_translation.omezarr.store import Position

OVERVIEW, STAGE, COMPARE, FLICKER = "Overview", "A stage", "Compare", "Flicker"
PATH_OPTION = "a path on this machine"
LARGE_IMAGE = 2**18  # values of an image from which on a spinner is shown while the network runs
CHECKPOINT_SUFFIXES = (".ckpt", ".pt", ".pth")
MOVIE_SUFFIXES = (".tif", ".tiff")  # of files; OME-Zarr stores are directories


class PageState:
    """State of the page in one session: whether it is interactive, and the last values of its controls.

    Parameters
    ----------
    interactive
        Whether controls can be used. A report or a script is not interactive and shows all sections.
    """

    def __init__(self, *, interactive: bool) -> None:
        self.interactive = interactive
        self._values: dict[str, Any] = {}

    def remember(self, name: str, default: Any, allowed: range | Collection[Any]) -> dict[str, Any]:
        """Return ``value`` and ``on_change`` for a control, so that it keeps its value when it is created anew.

        Parameters
        ----------
        name
            Key of the value.
        default
            Value if none is stored, or if the stored one is not allowed.
        allowed
            Allowed values; a stored value is clipped to a range.
        """
        value = self._values.get(name, default)
        if isinstance(allowed, range):
            value = min(max(value, allowed.start), allowed.stop - 1)
        elif value not in allowed:
            value = default
        return {"value": value, "on_change": partial(self._values.__setitem__, name)}

    def is_shown(self, tabs: mo.ui.tabs, section: str) -> bool:
        """Return whether a section is shown: that of the selected tab, or all if the page is not interactive."""
        return not self.interactive or tabs.value == section

    def heading(self, section: str) -> list[mo.Html]:
        """Return the heading of a section; none if there are tabs."""
        return [] if self.interactive else [mo.md(f"## {section}")]

    def show(self, section: "Section") -> mo.Html:
        """Show a section with links to save it as figure, page and table."""
        links = [
            mo.md("Save:"),
            *(_download(partial(section.image, kind), section.file_stem, kind) for kind in ("png", "svg")),
            _download(section.document, section.file_stem, "html", "text/html"),
            _download(section.csv, section.file_stem, "csv", "text/csv"),
        ]
        return mo.vstack([*map(mo.Html, section.html), *([row(*links)] if self.interactive else [])])


def _download(make: Any, stem: str, kind: str, mimetype: str | None = None) -> mo.Html:
    return mo.download(make, f"{stem}.{kind}", mimetype=mimetype, label=kind.upper())


def is_script() -> bool:
    """Return whether the notebook runs as a script."""
    return mo.app_meta().mode == "script"


def error_callout(error: ImageTranslationError) -> mo.Html:
    """Show an error on the page; in a script, write it to stderr and exit."""
    if is_script():
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    return mo.callout(mo.Html(tile_html.message(error)), kind="danger")


@contextmanager
def stop_on_error() -> Iterator[None]:
    """Stop the cell with `error_callout` when an `ImageTranslationError` is raised."""
    try:
        yield
    except ImageTranslationError as error:
        mo.stop(predicate=True, output=error_callout(error))


def warning(text: str) -> mo.Html:
    """Show a warning."""
    return mo.callout(mo.Html(tile_html.message(text)), kind="warn")


def ignored_preset(what: str, *, ignored: bool) -> mo.Html | None:
    """Warn that an argument of the notebook does not fit the movie or network and is ignored."""
    return warning(f"{what}: not available here, ignored") if ignored else None


def spinner(title: str, subtitle: str | None = None, *, when: bool = True) -> AbstractContextManager[Any]:
    """Show a spinner while a block runs, under a condition."""
    return mo.status.spinner(title, subtitle) if when else nullcontext()


@contextmanager
def progress(items: Sequence[Any], title: str) -> Iterator[Iterator[Any]]:
    """Provide an iterator over items that advances a progress bar."""
    with mo.status.progress_bar(total=len(items), title=title, remove_on_exit=True) as bar:

        def advance() -> Iterator[Any]:
            for item in items:
                yield item
                bar.update()

        yield advance()


def verbatim(text: str) -> str:
    """Escape a name for a label, which marimo renders as Markdown with HTML and formulas."""
    return "".join(char if char.isalnum() or char == " " else f"&#{ord(char)};" for char in text)


def row(*items: object) -> mo.Html:
    """Lay out items in a row that wraps on narrow screens; None is left out."""
    return mo.hstack([item for item in items if item is not None], justify="start", align="end", wrap=True, gap=1.5)


def sidebar(*items: object) -> mo.Html:
    """Append items to the sidebar; None is left out."""
    shown = [item for item in items if item is not None]
    return mo.sidebar(mo.vstack(shown, gap=0.6).style({"flex": "none", "font-size": "0.85rem"}), width="300px")


def index_slider(label: str, count: int, *, full_width: bool = False, **options: Any) -> mo.ui.slider:
    """Make a slider over the indices 0 to `count` - 1."""
    return mo.ui.slider(0, count - 1, label=label, show_value=True, full_width=full_width, **options)


class _VisiblePath(type(Path())):  # type: ignore[misc] # of the operating system
    """Path whose directory does not list hidden files; marimo's browser filters files, but no directories."""

    def iterdir(self) -> Generator[Path, None, None]:
        yield from (path for path in super().iterdir() if not path.name.startswith("."))


def source_controls(kind: Kind, initial: str) -> mo.ui.dictionary:
    """Make the controls that select a movie or a checkpoint by its name or its path.

    Parameters
    ----------
    kind
        "movie" or "checkpoint".
    initial
        Name or path that is selected first.
    """
    names = data.names(kind)
    is_name = initial in names
    return mo.ui.dictionary(
        {
            "name": mo.ui.dropdown(
                [*names, PATH_OPTION], value=initial if is_name else PATH_OPTION, label=kind, full_width=True
            ),
            "path": mo.ui.text(value="" if is_name else initial, placeholder="path", full_width=True),
            "browser": mo.ui.file_browser(
                _VisiblePath.cwd(),
                selection_mode=("directory", "file") if kind == "movie" else "file",
                filetypes=MOVIE_SUFFIXES if kind == "movie" else CHECKPOINT_SUFFIXES,
                multiple=False,
                restrict_navigation=False,
            ),
        }
    )


def selected_source(controls: mo.ui.dictionary) -> str:
    """Return the name or the path that `source_controls` select; empty if no path is given."""
    if controls["name"].value != PATH_OPTION:
        return str(controls["name"].value)
    files: Any = controls["browser"].value
    return str(files[0].path) if files else str(controls["path"].value).strip()


def visible_controls(controls: mo.ui.dictionary) -> list[object]:
    """Return those of `source_controls` that are needed: path and browser only if a path is to be selected."""
    if controls["name"].value != PATH_OPTION:
        return [controls["name"]]
    return [controls["name"], controls["path"], mo.accordion({"or browse": controls["browser"]})]


def fetch_button(source: str, kind: Kind) -> tuple[mo.ui.run_button | None, mo.Html | None]:
    """Return the button that starts a download, and a notice that contains it; both None if the source is local.

    The cell is stopped with a message if nothing is selected or the source is unknown.
    """
    mo.stop(not source, mo.callout(f"Give the path of a {kind}, or choose one by browsing.", kind="info"))
    with stop_on_error():
        data.locate(source, kind=kind)
        missing = list(data.missing(source))
    if not missing:
        return None, None
    button = mo.ui.run_button(label=f"Fetch {source}")
    notice = f"{source} is not on this machine yet, and may be large. It would be downloaded from {missing[0].address}"
    return button, mo.callout(mo.vstack([mo.Html(tile_html.message(notice)), button]), kind="warn")


def fetching(source: str, button: mo.ui.run_button | None) -> AbstractContextManager[Any]:
    """Stop the cell until the fetch button, if there is one, is pressed; then show a spinner while a block runs."""
    mo.stop(button is not None and not button.value)
    return spinner(f"Fetching {source} ...", when=button is not None)


def channel_controls(network: "Inspector", position: "Position", selected: Sequence[str]) -> mo.ui.array:
    """Make a dropdown for each input channel of a network; the cell is stopped if the selection does not fit."""
    with stop_on_error():
        network.select_channels(position, selected)
    labels = [f"channel as {verbatim(name)}" for name in network.spec.input_channels] or ["channel"] * len(selected)
    return mo.ui.array(
        [
            mo.ui.dropdown(position.channels, value=name, label=label, full_width=True)
            for name, label in zip(selected, labels, strict=True)
        ]
    )


def normalization_control(network: "Inspector", selected: Method | None) -> mo.ui.dropdown:
    """Make the dropdown of normalisation methods; its first option, None, is that of the network."""
    own = network.normalization
    source = "from the checkpoint" if network.spec.normalization else "by default"
    return mo.ui.dropdown(
        {f"{own}, {source}": None} | {method: method for method in METHODS},
        value=selected,
        allow_select_none=False,
        label="normalisation",
        full_width=True,
    )


def map_control(kind: str, channels: int) -> mo.ui.slider:
    """Make the slider of the component, from 1, or of the channel, from 0, of a stage with so many channels."""
    from image_translation.explorer.stage_detail import SHOWN_COMPONENTS  # imports torch

    if kind == "components":
        last = min(SHOWN_COMPONENTS, channels)
        return mo.ui.slider(1, last, value=1, label="component in detail", show_value=True)
    return index_slider("channel in detail", channels, value=0)


def run_network(session: "Session", network: "Inspector", network_input: "NetworkInput") -> "Activations":
    """Run a network, with a spinner for large images; the cell is stopped if it fails."""
    large = network_input.image.size > LARGE_IMAGE
    with stop_on_error(), spinner("The network is running ...", when=large):
        return session.run(network, network_input)
