"""What every stage of a network makes of an image: ``marimo edit image_translation/part1_inspection_widget.py``.

Controls and layout alone; what is shown comes from `explorer`, `stage_tiles`, `stage_comparison` and `stage_numbers`.
Arguments choose what is shown first: ``marimo run NOTEBOOK -- --checkpoint CKPT --movie MOVIE --time 5``.

Controls remember what was chosen (`kept`), so that it outlives what they are made anew for, such as another position.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="Inside the network")

with app.setup(hide_code=True):
    import io
    import sys
    from contextlib import nullcontext
    from functools import partial
    from pathlib import Path
    from typing import Any

    # Python looks for modules beside a notebook first, where data.py or plot.py would hide those of other packages.
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

    import marimo as mo

    from image_translation import data
    from image_translation.errors import ImageTranslationError
    from image_translation.explorer import presets
    from image_translation.explorer.perturbation import DISTURBANCES
    from image_translation.figures import tile_html
    from image_translation.frame import Crop
    from image_translation.normalize import METHODS
    from image_translation.omezarr.store import open_store

    OTHER = "a path on this machine"
    OVERVIEW, STAGE, COMPARE, FLICKER = "Overview", "A stage", "Compare", "Flicker"
    ANOTHER_FRAME, ANOTHER_PLANE, DISTURBED, ANOTHER_NETWORK = (
        "another frame", "another plane", "a disturbed image", "another network",
    )  # fmt: skip
    LARGE = 2**18  # pixels of an image from which on it is worth to say that the network is at work
    MANY = 24  # frames whose change is only measured when asked for


@app.cell(hide_code=True)
def _():
    interactive = mo.app_meta().request is not None  # else it is a report or a script, which shows everything
    return (interactive,)


@app.cell(hide_code=True)
def _(interactive):
    def problem(error):
        """Show an error as a message in the page; a script ends with it."""
        if mo.app_meta().mode == "script":
            sys.stderr.write(f"error: {error}\n")
            sys.exit(error.exit_code)
        return mo.callout(mo.Html(tile_html.message(error)), kind="danger")

    memory: dict[str, Any] = {}

    def kept(name, default, allowed):
        """Return what a control called so held before, if it is still allowed, and how it will be remembered."""
        value = memory.get(name, default)
        if isinstance(allowed, range):
            value = min(max(value, allowed.start), allowed.stop - 1)
        elif value not in allowed:
            value = default
        return {"value": value, "on_change": partial(memory.__setitem__, name)}

    def unmet(wish, met):
        """Say that something the page was started with is not there; it is only a wish, as anything can be chosen."""
        return (
            None
            if met
            else mo.callout(mo.Html(tile_html.message(f"{wish}: not here, so it is passed over")), kind="warn")
        )

    def beside(*items):
        """Lay controls out in a line that breaks on narrow screens."""
        return mo.hstack([item for item in items if item is not None], justify="start", align="end", wrap=True, gap=1.5)

    def panel(items):
        """Put controls into the sidebar, below what is there."""
        return mo.sidebar(mo.vstack(items, gap=0.6).style({"flex": "none", "font-size": "0.85rem"}), width="300px")

    def section(name, parts, draw, table, file):
        """Show the parts of a section, and offer its figure, itself as a page, and its numbers.

        They are made when they are asked for, when names with an underscore are gone: bind these by ``partial``.
        """

        def drawn(kind):
            def make():
                buffer = io.BytesIO()
                draw().savefig(buffer, format=kind, dpi=200)
                return buffer.getvalue()

            return mo.download(make, f"{file}.{kind}", label=kind.upper())

        def page():
            return tile_html.document(name, *parts).encode()

        saves = [
            mo.md("Save:"),
            drawn("png"),
            drawn("svg"),
            mo.download(page, f"{file}.html", mimetype="text/html", label="HTML"),
            mo.download(lambda: table().encode(), f"{file}.csv", mimetype="text/csv", label="CSV"),
        ]
        return mo.vstack([*map(mo.Html, parts), *([beside(*saves)] if interactive else [])])

    return beside, kept, panel, problem, section, unmet


@app.cell(hide_code=True)
def _(problem):
    def sources(kind, chosen):
        """Make the controls that choose a name or a path."""
        known = data.names(kind)
        name = mo.ui.dropdown([*known, OTHER], value=chosen if chosen in known else OTHER, label=kind, full_width=True)
        path = mo.ui.text(value="" if chosen in known else chosen, placeholder="path", full_width=True)
        browser = mo.ui.file_browser(
            Path.cwd(),
            selection_mode="directory" if kind == "movie" else "file",
            filetypes=() if kind == "movie" else (".ckpt", ".pt", ".pth"),
            multiple=False,
            restrict_navigation=False,
        )
        return mo.ui.dictionary({"name": name, "path": path, "browser": browser})

    def source(controls):
        """Return the name or the path that is chosen."""
        if controls["name"].value != OTHER:
            return controls["name"].value
        picked = controls["browser"].value
        return str(picked[0].path) if picked else controls["path"].value.strip()

    def fetching(name, kind):
        """Return the button that fetches what is not here yet, and a notice that holds it; None if it is here."""
        mo.stop(not name, mo.callout(f"Give the path of a {kind}, or choose one by browsing.", kind="info"))
        try:
            data.locate(name, kind=kind)
            missing = list(data.missing(name))
        except ImageTranslationError as error:
            mo.stop(True, problem(error))
        if not missing:
            return None, None
        button = mo.ui.run_button(label=f"Fetch {name}")
        notice = f"{name} is not on this machine yet, and may be large. It would come from {missing[0].address}"
        return button, mo.callout(mo.vstack([mo.Html(tile_html.message(notice)), button]), kind="warn")

    def shown_sources(controls):
        """Return those of the controls that are needed."""
        if controls["name"].value != OTHER:
            return [controls["name"]]
        return [
            controls["name"],
            controls["path"],
            mo.accordion({"or browse": controls["browser"]}),
        ]

    return fetching, shown_sources, source, sources


@app.cell(hide_code=True)
def _():
    mo.Html("""<style>@media (max-width: 1023px) { .it-title { padding-top: 2rem; } }</style>
    <div class="it-title" style="font-size: 1.6rem; font-weight: 600; line-height: 1.3">Inside the network</div>
    What every stage makes of an image. Pixels that a stage takes for alike have like colours.""")


@app.cell(hide_code=True)
def _(interactive):
    tabs = mo.ui.tabs(dict.fromkeys((OVERVIEW, STAGE, COMPARE, FLICKER), ""), value=OVERVIEW)
    mo.Html(f'<div style="height: 2.6rem; overflow: hidden">{tabs}</div>') if interactive else None
    return (tabs,)


@app.cell(hide_code=True)
def _(interactive, tabs):
    def on(name):
        """Tell whether a section is shown: the one that is chosen, or all of them in a report."""
        return not interactive or tabs.value == name

    def heading(name):
        """Name a section, where no tab does."""
        return [] if interactive else [mo.md(f"## {name}")]

    return heading, on


@app.cell(hide_code=True)
def _(problem):
    _own = Path(sys.argv[0]).resolve() == Path(__file__).resolve()  # not the arguments of a program that runs it
    try:
        given = presets.from_words(sys.argv[1:] if _own else [])
    except ImageTranslationError as _error:
        mo.stop(True, problem(_error))
    return (given,)


@app.cell(hide_code=True)
def _(given, sources):
    movie_controls = sources("movie", given.movie)
    checkpoint_controls = sources("checkpoint", given.checkpoint)
    return checkpoint_controls, movie_controls


@app.cell(hide_code=True)
def _(checkpoint_controls, movie_controls, panel, shown_sources):
    panel([*shown_sources(movie_controls), *shown_sources(checkpoint_controls)])


@app.cell(hide_code=True)
def _(fetching, movie_controls, source):
    movie = source(movie_controls)
    fetch_movie, _notice = fetching(movie, "movie")
    _notice
    return fetch_movie, movie


@app.cell(hide_code=True)
def _(checkpoint_controls, fetching, source):
    checkpoint = source(checkpoint_controls)
    fetch_checkpoint, _notice = fetching(checkpoint, "checkpoint")
    _notice
    return checkpoint, fetch_checkpoint


@app.cell(hide_code=True)
def _(fetch_movie, movie, problem):
    mo.stop(fetch_movie is not None and not fetch_movie.value)
    try:
        with mo.status.spinner(f"Fetching {movie} ...") if fetch_movie else nullcontext():
            store = open_store(data.resolve(movie, kind="movie"))
    except ImageTranslationError as _error:
        mo.stop(True, problem(_error))
    return (store,)


@app.cell(hide_code=True)
def _(given, kept, store, unmet):
    position_name = mo.ui.dropdown(
        store.names,
        **kept("position", given.position if given.position in store.names else store.names[0], store.names),
        label="position",
        searchable=len(store.names) > 12,
        full_width=True,
    )
    unmet(f"position {given.position}", given.position in (None, *store.names))
    return (position_name,)


@app.cell(hide_code=True)
def _(panel, position_name, store):
    panel([position_name]) if len(store.names) > 1 else None


@app.cell(hide_code=True)
def _(position_name, problem, store):
    try:
        position = store.position(position_name.value)
    except ImageTranslationError as _error:
        mo.stop(True, problem(_error))
    return (position,)


@app.cell(hide_code=True)
def _(given, kept, position, unmet):
    _frames, _, _depth, *_field = position.shape
    time = mo.ui.slider(
        0,
        _frames - 1,
        **kept("time", given.frame(_frames), range(_frames)),
        label="frame",
        show_value=True,
        full_width=True,
    )
    plane = mo.ui.slider(
        0,
        _depth - 1,
        **kept("plane", given.plane(_depth), range(_depth)),
        label="plane",
        show_value=True,
        full_width=True,
    )
    sizes = given.sizes(_field)
    size = mo.ui.dropdown(
        [*sizes], **kept("size", next(iter(sizes)), sizes), label="part of the field", full_width=True
    )
    unmet(f"crop {given.crop and tuple(given.crop)}", given.crop == given.crop_in(_field))
    return plane, size, sizes, time


@app.cell(hide_code=True)
def _(given, position, size, sizes):
    height, width = sizes[size.value]
    _crop = given.place(position, (height, width))
    _down, _across = position.shape[-2] - height, position.shape[-1] - width
    top = mo.ui.slider(0, _down, value=_crop.y, label="from row", show_value=True, full_width=True)
    left = mo.ui.slider(0, _across, value=_crop.x, label="from column", show_value=True, full_width=True)
    return height, left, top, width


@app.cell(hide_code=True)
def _(height, left, panel, plane, position, size, time, top, width):
    _frames, _, _depth, *_field = position.shape
    panel(
        [
            *([time] if _frames > 1 else []),
            *([plane] if _depth > 1 else []),
            *([size] if max(_field) > min(presets.SIDES) else []),
            *([top] if height < _field[0] else []),
            *([left] if width < _field[1] else []),
        ]
    )


@app.cell(hide_code=True)
def _(given):
    with mo.status.spinner("Starting PyTorch ..."):
        from image_translation.explorer.session import Explorer, likely_channels

        explorer = Explorer(given.device)
    return explorer, likely_channels


@app.cell(hide_code=True)
def _(checkpoint, explorer, fetch_checkpoint, problem):
    mo.stop(fetch_checkpoint is not None and not fetch_checkpoint.value)
    try:
        with mo.status.spinner(f"Fetching {checkpoint} ...") if fetch_checkpoint else nullcontext():
            network = explorer.network("first", checkpoint)
    except ImageTranslationError as _error:
        mo.stop(True, problem(_error))
    (mo.callout(mo.Html(tile_html.message("\n".join(network.spec.notes))), kind="warn") if network.spec.notes else None)
    return (network,)


@app.cell(hide_code=True)
def _(given, likely_channels, network, position, problem, unmet):
    _wanted, _fit = network.spec.architecture.in_channels, set(given.channels) <= set(position.channels)
    _likely = given.channels if _fit and len(given.channels) == _wanted else likely_channels(network.spec, position)
    try:
        network.channels(position, _likely)
    except ImageTranslationError as _error:
        mo.stop(True, problem(_error))
    _labels = [f"channel as {name}" for name in network.spec.input_channels] or ["channel"] * len(_likely)
    channels = mo.ui.array(
        [
            mo.ui.dropdown(position.channels, value=one, label=label, full_width=True)
            for one, label in zip(_likely, _labels, strict=True)
        ]
    )
    unmet(f"channels {', '.join(given.channels)}", not given.channels or _likely == given.channels)
    return (channels,)


@app.cell(hide_code=True)
def _(given, network):
    _own = network.normalization
    normalization = mo.ui.dropdown(
        {f"{_own}, as the checkpoint says" if network.spec.normalization else f"{_own}, a guess": None}
        | {method: method for method in METHODS},
        value=given.normalization,
        allow_select_none=False,
        label="normalisation",
        full_width=True,
    )
    return (normalization,)


@app.cell(hide_code=True)
def _(channels, checkpoint, height, left, movie, normalization, plane, position, top, width):
    crop = Crop(top.value, left.value, height, width)
    reading = {"channels": channels.value, "crop": crop, "normalization": normalization.value}
    place = f"{Path(checkpoint).name} on {Path(movie).name}, {position.name} z{plane.value}"
    if crop[2:] != position.shape[3:]:
        place += f", rows {crop.y}-{crop.y + crop.height}, columns {crop.x}-{crop.x + crop.width}"
    return crop, place, reading


@app.cell(hide_code=True)
def _(network, place, plane, position, problem, reading, time):
    try:
        image = network.read(position, time.value, plane.value, **reading)
    except ImageTranslationError as _error:
        mo.stop(True, problem(_error))
    title = f"{place}, frame {time.value}"
    return image, title


@app.cell(hide_code=True)
def _(channels, crop, network, normalization, panel, plane, position, time):
    try:
        _field = position.read(time.value, position.channels.index(channels.value[0]), plane.value)
        _picture = tile_html.field(_field, crop, position.pixel_size, channels.value[0])
    except ImageTranslationError:  # it is said where the pictures would be
        _picture = tile_html.note("This frame cannot be read.")
    panel(
        [
            mo.Html(_picture),
            *(channels.elements if len(position.channels) > 1 else []),
            normalization,
            mo.Html(
                tile_html.note(
                    f"The network is shown what lies in the frame; its response norms are of that alone. It has "
                    f"{network.spec.n_parameters / 1e6:.1f} million weights, and runs on {network.device}. "
                    f"{network.spec.description}"
                )
            ),
        ]
    )


@app.cell(hide_code=True)
def _(network, problem):
    try:
        with mo.status.spinner("Loading the network ...", "This takes some seconds the first time."):
            stages = network.stages
    except ImageTranslationError as _error:
        mo.stop(True, problem(_error))
    return (stages,)


@app.cell(hide_code=True)
def _(explorer, problem):
    def looked(network, image):
        """Return what a network makes of an image, or stop with a message."""
        try:
            with mo.status.spinner("The network is at work ...") if image.image.size > LARGE else nullcontext():
                return explorer.see(network, image)
        except ImageTranslationError as error:
            mo.stop(True, problem(error))

    return (looked,)


@app.cell(hide_code=True)
def _(image, looked, network, stages):
    view = looked(network, image) if stages else None
    return (view,)


@app.cell(hide_code=True)
def _(heading, on, position, section, title, view):
    mo.stop(not on(OVERVIEW))
    from image_translation.explorer.stage_statistics import stage_table
    from image_translation.explorer.stage_tiles import stage_colours, tile_rows
    from image_translation.figures.tiles import OWN_BASIS, overview_figure

    _colours = stage_colours([view])
    _rows = tile_rows(view, _colours, position.pixel_size)
    _parts = [tile_html.grid(_rows, f"{title}. {OWN_BASIS}.")]
    mo.vstack(
        [
            *heading(OVERVIEW),
            section(
                title, _parts, partial(overview_figure, _rows, title), partial(stage_table, view, _colours), "overview"
            ),
        ]
    )


@app.cell(hide_code=True)
def _():
    kind = mo.ui.radio(["components", "channels"], value="components", label="show its", inline=True)
    opacity = mo.ui.slider(0, 1, 0.05, value=0.5, label="overlay", show_value=True)
    return kind, opacity


@app.cell(hide_code=True)
def _(given, kept, stages):
    _first = given.stage if given.stage in stages else next(iter(stages))
    stage = mo.ui.dropdown([*stages], **kept("stage", _first, stages), label="stage")
    return (stage,)


@app.cell(hide_code=True)
def _(kind, stage, stages):
    from image_translation.explorer.stage_detail import SHOWN_COMPONENTS

    _count = stages[stage.value]
    if kind.value == "components":
        number = mo.ui.slider(1, min(SHOWN_COMPONENTS, _count), value=1, label="component in detail", show_value=True)
    else:
        number = mo.ui.slider(0, _count - 1, value=0, label="channel in detail", show_value=True)
    return (number,)


@app.cell(hide_code=True)
def _(beside, heading, kind, number, on, opacity, stage):
    mo.stop(not on(STAGE))
    mo.vstack([*heading(STAGE), beside(stage, kind, number, opacity)])


@app.cell(hide_code=True)
def _(kind, number, on, opacity, position, section, stage, title, view):
    mo.stop(not on(STAGE))
    from image_translation.explorer.stage_detail import look_at
    from image_translation.explorer.stage_tiles import picture_tiles

    _detail = look_at(view, stage.value, kind.value, number.value, position.pixel_size)
    _input = picture_tiles(view, position.pixel_size)[0]
    _place = view.placements[stage.value]._asdict()
    section(
        f"{stage.value}: {title}",
        [
            tile_html.detail(_input, _detail.picture, opacity.value, **_place),
            tile_html.grid([(_detail.legend, _detail.tiles)], title),
            tile_html.drawing(_detail.distribution(), "distribution of the values, and of the variance"),
        ],
        _detail.figure,
        _detail.table,
        stage.value.replace(" ", "_"),
    )


@app.cell(hide_code=True)
def _(given, kept, position):
    _frames, _, _depth, *_ = position.shape
    _ways = [
        *([ANOTHER_FRAME] if _frames > 1 else []),
        *([ANOTHER_PLANE] if _depth > 1 else []),
        DISTURBED,
        ANOTHER_NETWORK,
    ]
    way = mo.ui.radio(_ways, **kept("way", _ways[0], _ways), label="compare with", inline=True)
    other_time = mo.ui.slider(
        0, _frames - 1, **kept("other time", given.compared(_frames), range(_frames)), label="frame", show_value=True
    )
    other_plane = mo.ui.slider(0, _depth - 1, **kept("other plane", 0, range(_depth)), label="plane", show_value=True)
    return other_plane, other_time, way


@app.cell(hide_code=True)
def _(sources):
    disturbance = mo.ui.dropdown(DISTURBANCES, value=next(iter(DISTURBANCES)), label="by")
    other_controls = sources("checkpoint", "demo_ckpt_fluor2phase")
    return disturbance, other_controls


@app.cell(hide_code=True)
def _(disturbance):
    _chosen = disturbance.value
    strength = mo.ui.slider(
        _chosen.least, _chosen.most, _chosen.step, value=_chosen.usual, label=_chosen.unit, show_value=True
    )
    return (strength,)


@app.cell(hide_code=True)
def _(beside, disturbance, heading, on, other_controls, other_plane, other_time, shown_sources, strength, way):
    mo.stop(not on(COMPARE))
    _controls = {
        ANOTHER_FRAME: [other_time],
        ANOTHER_PLANE: [other_plane],
        DISTURBED: [disturbance, strength],
        ANOTHER_NETWORK: shown_sources(other_controls),
    }
    mo.vstack([*heading(COMPARE), beside(way, *_controls[way.value])])


@app.cell(hide_code=True)
def _(fetching, on, other_controls, source, way):
    other_checkpoint, fetch_other, _notice = None, None, None
    if on(COMPARE) and way.value == ANOTHER_NETWORK:
        other_checkpoint = source(other_controls)
        fetch_other, _notice = fetching(other_checkpoint, "checkpoint")
    _notice
    return fetch_other, other_checkpoint


@app.cell(hide_code=True)
def _(explorer, fetch_other, likely_channels, network, other_checkpoint, position, problem):
    # Beside the first network there is a second one only as long as it is compared with.
    other_network, other_channels = network, ()
    if other_checkpoint is None:
        explorer.release("second")
    else:
        mo.stop(fetch_other is not None and not fetch_other.value)
        try:
            with mo.status.spinner(f"Fetching {other_checkpoint} ...") if fetch_other else nullcontext():
                other_network = explorer.network("second", other_checkpoint)
            other_channels = likely_channels(other_network.spec, position)
            other_network.channels(position, other_channels)
        except ImageTranslationError as _error:
            mo.stop(True, problem(_error))
    return other_channels, other_network


@app.cell(hide_code=True)
def _(
    checkpoint,
    disturbance,
    other_channels,
    other_checkpoint,
    other_plane,
    other_time,
    plane,
    reading,
    strength,
    time,
    way,
):
    def compared():
        """Return what the two variants are called, and frame, plane and reading of the second one."""
        if way.value == ANOTHER_FRAME:
            return (f"frame {time.value}", f"frame {other_time.value}"), other_time.value, plane.value, reading
        if way.value == ANOTHER_PLANE:
            return (f"plane {plane.value}", f"plane {other_plane.value}"), time.value, other_plane.value, reading
        if way.value == DISTURBED:
            names = "as it is", f"{disturbance.value.name} {strength.value:g}"
            disturb = partial(disturbance.value.apply, strength=strength.value)
            return names, time.value, plane.value, reading | {"disturb": disturb}
        names = Path(checkpoint).name, Path(other_checkpoint).name
        if names[0] == names[1]:  # in two folders
            names = checkpoint, other_checkpoint
        own = {"channels": other_channels, "normalization": None}
        return names, time.value, plane.value, reading | own

    return (compared,)


@app.cell(hide_code=True)
def _(compared, looked, on, other_network, position, problem, section, title, view, way):
    mo.stop(not on(COMPARE))
    from image_translation.explorer.comparison import compare_images, compare_networks
    from image_translation.figures.tiles import comparison_figure

    _names, _time, _plane, _reading = compared()
    try:
        _image = other_network.read(position, _time, _plane, **_reading)
    except ImageTranslationError as _error:
        mo.stop(True, problem(_error))
    _compare = compare_networks if way.value == ANOTHER_NETWORK else compare_images
    _comparison = _compare(_names, (view, looked(other_network, _image)), position.pixel_size)
    section(
        title,
        [tile_html.comparison(_comparison.columns, f"{title}. {_comparison.legend}")],
        partial(comparison_figure, _comparison.columns, title, _comparison.legend),
        _comparison.table,
        "comparison",
    )


@app.cell(hide_code=True)
def _(given, position):
    watched = mo.ui.range_slider(
        0,
        max(1, position.shape[0] - 1),
        value=given.watched(position.shape[0]),
        label="frames",
        show_value=True,
        debounce=True,
    )
    return (watched,)


@app.cell(hide_code=True)
def _(watched):
    frames = range(int(watched.value[0]), int(watched.value[1]) + 1)
    measure = mo.ui.run_button(label=f"Measure {len(frames)} frames")
    return frames, measure


@app.cell(hide_code=True)
def _(beside, frames, heading, measure, on, position, watched):
    mo.stop(not on(FLICKER))
    mo.vstack(
        [
            *heading(FLICKER),
            mo.md(
                "How much each stage changes from frame to frame, against how much the input does: where it rises, the "
                "network makes flicker of little; where it falls, it damps it."
            ),
            beside(watched if position.shape[0] > 1 else None, measure if len(frames) > MANY else None),
        ]
    )


@app.cell(hide_code=True)
def _(frames, looked, measure, movie, network, on, place, plane, position, problem, reading, section):
    mo.stop(not on(FLICKER))
    mo.stop(position.shape[0] == 1, mo.md("This image is a single frame: there is no flicker."))
    mo.stop(len(frames) < 2, mo.md("Choose two frames or more."))
    mo.stop(len(frames) > MANY and not measure.value)
    from image_translation.explorer.stage_statistics import change_table, stage_changes
    from image_translation.figures.stages import change_figure

    def _look(t):
        return looked(network, network.read(position, t, plane.value, **reading))

    try:
        with mo.status.progress_bar(total=len(frames), title="frame by frame", remove_on_exit=True) as _bar:

            def _passed():
                for t in frames:
                    yield t
                    _bar.update()

            _changes = {Path(movie).name: stage_changes(_look, _passed())}
        _figure = change_figure(_changes, frames)
    except ImageTranslationError as _error:
        mo.stop(True, problem(_error))
    section(
        place,
        [tile_html.drawing(_figure, "change of every stage")],
        partial(change_figure, _changes, frames),
        partial(change_table, _changes, frames),
        "change",
    )


@app.cell(hide_code=True)
def _(title, view):
    if mo.app_meta().mode == "script":
        from image_translation.explorer.stage_statistics import stage_table as _table
        from image_translation.explorer.stage_tiles import stage_colours as _find

        sys.stdout.write(f"{title}\n{_table(view, _find([view]))}")


if __name__ == "__main__":
    app.run()
