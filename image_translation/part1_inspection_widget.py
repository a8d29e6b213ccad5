"""Feature maps of every stage of a network: ``marimo edit image_translation/part1_inspection_widget.py``.

Controls and layout alone: `explorer.page` makes the controls, `explorer.sections` what they show.
Arguments set the initial state: ``marimo run NOTEBOOK -- --checkpoint CKPT --movie MOVIE --time 5``.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="Inside the network")

with app.setup(hide_code=True):
    import sys
    from dataclasses import replace
    from pathlib import Path

    # Python searches the directory of a notebook first, where data/ and errors.py would hide modules of other packages.
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

    import marimo as mo

    from image_translation import data
    from image_translation.explorer import page
    from image_translation.explorer.page import COMPARE, FLICKER, OVERVIEW, STAGE
    from image_translation.explorer.perturbation import PERTURBATIONS
    from image_translation.explorer.presets import CROP_SIZES, default_channels, parse_presets
    from image_translation.frame import Crop
    from image_translation.sources.movie import open_movie

    MANY_FRAMES = 24  # number from which on change is measured only when the button is pressed


@app.cell(hide_code=True)
def _():
    state = page.PageState(interactive=mo.app_meta().request is not None)  # else it is a report or a script
    return (state,)


@app.cell(hide_code=True)
def _():
    mo.Html("""<style>
    @media (max-width: 1023px) { .it-title { padding-top: 2rem; } }
    .marimo-cell.published:has(marimo-sidebar) { display: none; } /* what is in the sidebar leaves no gap on the page */
    </style>
    <div class="it-title" style="font-size: 1.6rem; font-weight: 600; line-height: 1.3">Inside the network</div>
    The feature maps of every stage for an image. Pixels with similar features have similar colours.""")


@app.cell(hide_code=True)
def _(state):
    tabs = mo.ui.tabs(dict.fromkeys((OVERVIEW, STAGE, COMPARE, FLICKER), ""), value=OVERVIEW)
    mo.Html(f'<div style="height: 2.6rem; overflow: hidden">{tabs}</div>') if state.interactive else None
    return (tabs,)


@app.cell(hide_code=True)
def _():
    _own = Path(sys.argv[0]).resolve() == Path(__file__).resolve()  # not the arguments of another program
    with page.stop_on_error():
        presets = parse_presets(sys.argv[1:] if _own else [])
    return (presets,)


@app.cell(hide_code=True)
def _(presets):
    movie_controls = page.source_controls("movie", presets.movie)
    checkpoint_controls = page.source_controls("checkpoint", presets.checkpoint)
    return checkpoint_controls, movie_controls


@app.cell(hide_code=True)
def _(checkpoint_controls, movie_controls):
    page.sidebar(*page.visible_controls(movie_controls), *page.visible_controls(checkpoint_controls))


@app.cell(hide_code=True)
def _(movie_controls):
    movie = page.selected_source(movie_controls)
    fetch_movie, _notice = page.fetch_button(movie, "movie")
    _notice
    return fetch_movie, movie


@app.cell(hide_code=True)
def _(checkpoint_controls):
    checkpoint = page.selected_source(checkpoint_controls)
    fetch_checkpoint, _notice = page.fetch_button(checkpoint, "checkpoint")
    _notice
    return checkpoint, fetch_checkpoint


@app.cell(hide_code=True)
def _(fetch_movie, movie, presets):
    with page.stop_on_error(), page.fetching(movie, fetch_movie):
        store = open_movie(data.resolve(movie, kind="movie"), presets.metadata_of(movie))
    return (store,)


@app.cell(hide_code=True)
def _(presets, state, store):
    position_name = mo.ui.dropdown(
        store.names,
        **state.remember("position", presets.initial_position(store.names), store.names),
        label="position",
        searchable=len(store.names) > 12,
        full_width=True,
    )
    page.ignored_preset(f"position {presets.position}", ignored=presets.position not in (None, *store.names))
    return (position_name,)


@app.cell(hide_code=True)
def _(position_name, store):
    page.sidebar(position_name) if len(store.names) > 1 else None


@app.cell(hide_code=True)
def _(position_name, store):
    with page.stop_on_error():
        position = store.position(position_name.value)
    return (position,)


@app.cell(hide_code=True)
def _(position, presets, state):
    _frames, _, _depth, *_field = position.shape
    _time = state.remember("time", presets.initial_frame(_frames), range(_frames))
    time = page.index_slider("frame", _frames, full_width=True, **_time)
    _plane = state.remember("plane", presets.initial_plane(_depth), range(_depth))
    plane = page.index_slider("plane", _depth, full_width=True, **_plane)
    sizes = presets.crop_sizes(_field)
    _size = state.remember("size", next(iter(sizes)), sizes)
    size = mo.ui.dropdown([*sizes], **_size, label="part of the field", full_width=True)
    page.ignored_preset(
        f"crop {presets.crop and tuple(presets.crop)}", ignored=presets.crop != presets.crop_within(_field)
    )
    return plane, size, sizes, time


@app.cell(hide_code=True)
def _(position, presets, size, sizes):
    height, width = sizes[size.value]
    _crop = presets.initial_crop(position, (height, width))
    top = page.index_slider("from row", position.shape[-2] - height + 1, value=_crop.y, full_width=True)
    left = page.index_slider("from column", position.shape[-1] - width + 1, value=_crop.x, full_width=True)
    return height, left, top, width


@app.cell(hide_code=True)
def _(height, left, plane, position, size, time, top, width):
    _frames, _, _depth, *_field = position.shape
    page.sidebar(
        time if _frames > 1 else None,
        plane if _depth > 1 else None,
        size if max(_field) > min(CROP_SIZES) else None,
        top if height < _field[0] else None,
        left if width < _field[1] else None,
    )


@app.cell(hide_code=True)
def _(presets):
    with page.spinner("Starting PyTorch ..."):
        from image_translation.explorer import sections
        from image_translation.explorer.session import Session

        session = Session(presets.device)
    return sections, session


@app.cell(hide_code=True)
def _(checkpoint, fetch_checkpoint, presets, session):
    with page.stop_on_error(), page.fetching(checkpoint, fetch_checkpoint):
        network = session.network("first", checkpoint, head_pool=presets.head_pool_of(checkpoint))
    page.warning("\n".join(network.spec.notes)) if network.spec.notes else None
    return (network,)


@app.cell(hide_code=True)
def _(network, position):
    _note = network.pixel_size_note(position)
    page.warning(_note) if _note else None


@app.cell(hide_code=True)
def _(network, position, presets):
    _channels = presets.initial_channels(network.spec, position)
    channels = page.channel_controls(network, position, _channels)
    page.ignored_preset(f"channels {', '.join(presets.channels)}", ignored=presets.channels not in ((), _channels))
    return (channels,)


@app.cell(hide_code=True)
def _(network, presets):
    normalization = page.normalization_control(network, presets.normalization)
    return (normalization,)


@app.cell(hide_code=True)
def _(channels, checkpoint, height, left, movie, normalization, plane, position, sections, time, top, width):
    selection = sections.ImageSelection(
        t=time.value,
        z=plane.value,
        channels=tuple(channels.value),
        crop=Crop(top.value, left.value, height, width),
        normalization=normalization.value,
    )
    place = selection.title(checkpoint, movie, position)
    title = f"{place}, frame {time.value}"
    return place, selection, title


@app.cell(hide_code=True)
def _(network, position, selection):
    with page.stop_on_error():
        network_input = selection.read(network, position)
    return (network_input,)


@app.cell(hide_code=True)
def _(channels, network, normalization, position, sections, selection):
    page.sidebar(
        mo.Html(sections.field_html(position, selection)),
        *(channels.elements if len(position.channels) > 1 else []),
        normalization,
        mo.Html(sections.network_html(network)),
    )


@app.cell(hide_code=True)
def _(network):
    with page.stop_on_error(), page.spinner("Loading the network ...", "This takes some seconds the first time."):
        stages = network.stages
    return (stages,)


@app.cell(hide_code=True)
def _(network, network_input, session, stages):
    activations = page.run_network(session, network, network_input) if stages else None
    return (activations,)


@app.cell(hide_code=True)
def _(activations, position, sections, state, tabs, title):
    mo.stop(not state.is_shown(tabs, OVERVIEW))
    _section = sections.overview_section(activations, title, position.pixel_size)
    mo.vstack([*state.heading(OVERVIEW), state.show(_section)])


@app.cell(hide_code=True)
def _():
    kind = mo.ui.radio(["components", "channels"], value="components", label="show its", inline=True)
    opacity = mo.ui.slider(0, 1, 0.05, value=0.5, label="overlay", show_value=True)
    return kind, opacity


@app.cell(hide_code=True)
def _(presets, stages, state):
    stage = mo.ui.dropdown([*stages], **state.remember("stage", presets.initial_stage(stages), stages), label="stage")
    return (stage,)


@app.cell(hide_code=True)
def _(kind, stage, stages):
    number = page.map_control(kind.value, stages[stage.value])
    return (number,)


@app.cell(hide_code=True)
def _(kind, number, opacity, stage, state, tabs):
    mo.stop(not state.is_shown(tabs, STAGE))
    mo.vstack([*state.heading(STAGE), page.row(stage, kind, number, opacity)])


@app.cell(hide_code=True)
def _(activations, kind, number, opacity, position, sections, stage, state, tabs, title):
    mo.stop(not state.is_shown(tabs, STAGE))
    _selected = (kind.value, number.value)
    state.show(
        sections.stage_section(
            activations, stage.value, _selected, title, opacity=opacity.value, pixel_size=position.pixel_size
        )
    )


@app.cell(hide_code=True)
def _(position, presets, sections, state):
    _frames, _, _depth, *_ = position.shape
    _modes = sections.comparison_modes(position)
    mode = mo.ui.radio(_modes, **state.remember("mode", _modes[0], _modes), label="compare with", inline=True)
    _time = state.remember("other time", presets.initial_second_frame(_frames), range(_frames))
    other_time = page.index_slider("frame", _frames, **_time)
    other_plane = page.index_slider("plane", _depth, **state.remember("other plane", 0, range(_depth)))
    return mode, other_plane, other_time


@app.cell(hide_code=True)
def _():
    perturbation = mo.ui.dropdown(PERTURBATIONS, value=next(iter(PERTURBATIONS)), label="by")
    other_controls = page.source_controls("checkpoint", "demo_ckpt_fluor2phase")
    return other_controls, perturbation


@app.cell(hide_code=True)
def _(perturbation):
    _chosen = perturbation.value
    strength = mo.ui.slider(
        _chosen.minimum, _chosen.maximum, _chosen.step, value=_chosen.default, label=_chosen.unit, show_value=True
    )
    return (strength,)


@app.cell(hide_code=True)
def _(mode, other_controls, other_plane, other_time, perturbation, sections, state, strength, tabs):
    mo.stop(not state.is_shown(tabs, COMPARE))
    _controls = {
        sections.ComparisonMode.FRAME: [other_time],
        sections.ComparisonMode.PLANE: [other_plane],
        sections.ComparisonMode.PERTURBATION: [perturbation, strength],
        sections.ComparisonMode.NETWORK: page.visible_controls(other_controls),
    }
    mo.vstack([*state.heading(COMPARE), page.row(mode, *_controls[mode.value])])


@app.cell(hide_code=True)
def _(mode, other_controls, sections, state, tabs):
    other_checkpoint, fetch_other, _notice = None, None, None
    if state.is_shown(tabs, COMPARE) and mode.value == sections.ComparisonMode.NETWORK:
        other_checkpoint = page.selected_source(other_controls)
        fetch_other, _notice = page.fetch_button(other_checkpoint, "checkpoint")
    _notice
    return fetch_other, other_checkpoint


@app.cell(hide_code=True)
def _(fetch_other, network, other_checkpoint, position, presets, session):
    # The second network is kept in memory only while it is compared with.
    other_network, other_channels = network, tuple[str, ...]()
    if other_checkpoint is None:
        session.release("second")
    else:
        with page.stop_on_error(), page.fetching(other_checkpoint, fetch_other):
            other_network = session.network(
                "second", other_checkpoint, head_pool=presets.head_pool_of(other_checkpoint)
            )
            other_channels = default_channels(other_network.spec, position)
            other_network.select_channels(position, other_channels)
    return other_channels, other_network


@app.cell(hide_code=True)
def _(mode, other_channels, other_checkpoint, other_plane, other_time, perturbation, sections, strength):
    counterpart = sections.Counterpart(
        mode=sections.ComparisonMode(mode.value),
        t=other_time.value,
        z=other_plane.value,
        perturbation=perturbation.value,
        strength=strength.value,
        checkpoint=other_checkpoint,
        channels=other_channels,
    )
    return (counterpart,)


@app.cell(hide_code=True)
def _(
    activations,
    checkpoint,
    counterpart,
    other_network,
    position,
    sections,
    selection,
    session,
    state,
    tabs,
    title,
):
    mo.stop(not state.is_shown(tabs, COMPARE))
    with page.stop_on_error():
        _input = counterpart.read(selection, other_network, position)
    _other = page.run_network(session, other_network, _input)
    _labels = counterpart.labels(selection, checkpoint)
    _comparison = counterpart.compare(_labels, (activations, _other), position.pixel_size)
    state.show(sections.comparison_section(_comparison, title))


@app.cell(hide_code=True)
def _(position, presets):
    frame_range = mo.ui.range_slider(
        0,
        max(1, position.shape[0] - 1),
        value=presets.change_frames(position.shape[0]),
        label="frames",
        show_value=True,
        debounce=True,
    )
    return (frame_range,)


@app.cell(hide_code=True)
def _(frame_range):
    frames = range(int(frame_range.value[0]), int(frame_range.value[1]) + 1)
    measure = mo.ui.run_button(label=f"Measure {len(frames)} frames")
    return frames, measure


@app.cell(hide_code=True)
def _(frame_range, frames, measure, position, state, tabs):
    mo.stop(not state.is_shown(tabs, FLICKER))
    mo.vstack(
        [
            *state.heading(FLICKER),
            mo.md(
                "Change of each stage from frame to frame, relative to that of the input: a stage where it rises "
                "amplifies flicker, a stage where it falls attenuates it."
            ),
            page.row(frame_range if position.shape[0] > 1 else None, measure if len(frames) > MANY_FRAMES else None),
        ]
    )


@app.cell(hide_code=True)
def _(frames, measure, movie, network, place, position, sections, selection, session, state, tabs):
    mo.stop(not state.is_shown(tabs, FLICKER))
    mo.stop(position.shape[0] == 1, mo.md("This movie has a single frame: there is no flicker."))
    mo.stop(len(frames) < 2, mo.md("Choose two frames or more."))
    mo.stop(len(frames) > MANY_FRAMES and not measure.value)
    from image_translation.explorer.stage_statistics import stage_changes

    def _inspect(t):
        return page.run_network(session, network, replace(selection, t=t).read(network, position))

    with page.stop_on_error():
        with page.progress(frames, "frame by frame") as _frames:
            _changes = stage_changes(_inspect, _frames)
        _section = sections.change_section({Path(movie).name: _changes}, frames, place)
    state.show(_section)


@app.cell(hide_code=True)
def _(activations, sections, title):
    if page.is_script():
        sys.stdout.write(sections.overview_text(activations, title))


if __name__ == "__main__":
    app.run()
