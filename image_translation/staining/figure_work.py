"""How much of a movie the figures show, and the work of drawing them, which is known without loading matplotlib."""

from image_translation.staining.plan import Plan

POSITIONS = 4  # at most, of a plate
KYMOGRAPH_FRAMES = 64  # at most
FILM_FRAMES = 300  # at most; consecutive, because a film that leaves frames out makes steady movies flicker
MIN_PLANES = 3  # of a stack that has an orthogonal view
FIGURE_WORK = 3  # frames of a film that take as long to draw as one figure


def figure_work(plan: Plan) -> int:
    """Return the work of drawing the figures of a run, as a number of frames."""
    work = 0
    for group in list(plan.groups.values())[:POSITIONS]:
        length = len(group[0].frames)
        n_figures = 3 + 3 * len(plan.spec.output_channels)
        if len(group) >= MIN_PLANES:
            n_figures += len(plan.spec.output_channels)
            work += len(group)
        work += min(KYMOGRAPH_FRAMES, length) + min(FILM_FRAMES, length) + FIGURE_WORK * n_figures
    return work
