# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Image translation: stain cells without dyes, and know when to believe it
#
# A phase image shows every cell, and names nothing: no nucleus is labelled, no membrane is. A fluorescence image names what it
# shows, but a dye has to be brought into the cell, bleaches, and harms it. **Virtual staining** trains a network on pairs of both,
# and from then on paints the fluorescence onto phase images alone.
#
# In this notebook you will
#
# 1. look at the data, see what augmentation does to them, and **train** a network for phase → fluorescence, and another for the
#    way back;
# 2. **judge** the first one against a second checkpoint, by pixels and by nuclei;
# 3. look **inside**: what every stage of the network makes of an image, and where it stops being **valid**.
#
# It runs from top to bottom in a quarter of an hour on two cores, on small simulated data. Every step is one command of
# `image-translation` as well; the notebook only calls what the package has.
#
# Start it with `uv run jupyter lab exercise.ipynb`.

# %% [markdown]
# ## Settings
#
# `SETTING = "small"` takes simulated cells, which lie in the package, and needs no internet and no GPU. `SETTING = "a549"` takes real
# A549 cells (phase, Hoechst, CellMask), which are fetched when they are first asked for, and wants a GPU; what is said about the
# pictures below is about the small setting.

# %% tags=["settings"]
SETTING = "small"  # or "a549"
STEPS = {"small": 600, "a549": 12_000}[SETTING]  # optimiser steps of each training
FRAMES = 6  # test images of each position
STRENGTHS = 9  # of each disturbance, in part 3

# %%
# %matplotlib inline
# %config InlineBackend.figure_formats = ["jpeg"]
# %config InlineBackend.print_figure_kwargs = {"bbox_inches": "tight", "dpi": 130}
import logging
import warnings
from dataclasses import replace
from pathlib import Path

warnings.filterwarnings("ignore", message="IProgress not found")

import matplotlib.pyplot as plt
import numpy as np

from image_translation import SmoothOptions, data, make_plan, open_store, smooth_movie
from image_translation.training.options import TrainOptions

logging.getLogger("image_translation").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", category=SyntaxWarning)  # of libraries

if SETTING == "small":
    names = {"train": "demo_plate", "test": "demo_movie", "second": "demo_ckpt"}
    phase, stains = ("Phase3D",), ("Nuclei", "Membrane")
    same, network = {}, {}
else:
    names = {"train": "train", "test": "test", "second": "pretrained_ckpt"}
    phase, stains = ("Phase3D",), ("Nucl", "Mem")
    same = {"Nuclei": "Nucl", "Membrane": "Mem"}  # what the second checkpoint calls them
    network = {"size": "full", "batch_size": 16, "patch": 256, "precision": "bf16", "workers": 4}

results = Path("data/exercise") / SETTING
training_store, test_store = (open_store(data.fetch(names[part])) for part in ("train", "test"))
print(f"{len(training_store.names)} positions to train with: {', '.join(training_store.names[:8])} ...")
position = training_store.position(training_store.names[0])
print(f"each of shape T, C, Z, Y, X = {position.shape}, with the channels {', '.join(position.channels)}")

# %% [markdown]
# # Part 1: data, augmentation, training
# ## 1.1 Look at the data
#
# Always look first. Below are four positions: the phase, and the two stains that belong to it.

# %%
chosen = training_store.names[:: max(1, len(training_store.names) // 4)][:4]
figure, panels = plt.subplots(3, 4, figsize=(9, 7), layout="constrained")
for column, name in zip(panels.T, chosen, strict=True):
    position = training_store.position(name)
    z = position.shape[2] // 2
    for axes, channel in zip(column, (*phase, *stains), strict=True):
        image = position.read(0, position.channels.index(channel), z)
        axes.imshow(image, cmap="gray" if channel in phase else "magma", vmax=np.percentile(image, 99.8))
        axes.set_title(f"{name}: {channel}", fontsize=9)
        axes.set_axis_off()

# %% [markdown]
# The intensities of two positions are not on one scale: there are more cells in one, and another background. A network that was
# trained on one scale and is shown another gives a wrong stain, without any warning. So the phase is **normalised**: the mean of its
# field of view is subtracted, and the result divided by the standard deviation. Dropped frames (empty, constant, or not finite) must
# not count. `find_fields` looks through a store, leaves such frames out, and puts the statistics into a file beside the checkpoint;
# the store itself is never written to.

# %%
from image_translation.training.fields import Choice, find_fields

options = TrainOptions(
    str(training_store.path),
    phase,
    stains,
    results / "phase2fluor",
    steps=STEPS,
    round_steps=-(-STEPS // 8),
    rate=2e-3,
    **network,
)
fields = find_fields(training_store, Choice(phase, stains, patch=options.patch))
print(f"{len(fields.train)} images to train on; {len(fields.held_out)} are held out")
for name in chosen:
    statistics = fields.inputs[name][phase[0]]
    print(f"{name}: mean {statistics.center:.3f}, standard deviation {statistics.scale:.3f}")

# %% [markdown]
# **Question 1.** The stains are normalised as well, but by the mean and standard deviation of *all* fields together. What would go
# wrong if each field were scaled by its own?
#
# <details><summary>Answer</summary>
#
# Take a field with no cell in it: its standard deviation is that of the noise. Divided by it, the noise becomes as bright as the nuclei
# of another field, and the network is asked to paint noise. With one scale for all, an empty field stays empty, and a bright one
# stays bright. For the *input* it is the other way round: the microscope's gain and background differ from field to field, and mean
# nothing.
#
# </details>
#
# Also note that whole positions are held out, not single frames. Neighbouring frames of a movie are nearly the same picture; if one of
# them were trained on, the other would be no test.

# %% [markdown]
# ## 1.2 Augmentation
#
# Patches are cut at random, more often where there is stain. They are then varied, so that the network cannot learn by heart what
# does not matter: cells lie in any direction, the focus drifts, the camera is noisy. What changes the *geometry* changes source and
# target alike; what changes the *intensity* changes the source alone.

# %%
from image_translation.training.patches import StoreData

figure, panels = plt.subplots(6, 4, figsize=(8, 12), layout="constrained")
for rows, strength in zip(panels.reshape(3, 2, 4), ("none", "weak", "strong"), strict=True):
    patches = next(iter(StoreData(fields, replace(options, augmentation=strength, batch_size=4)).train_dataloader()))
    for axes, image, side in zip(
        rows.ravel(), (*patches["source"], *patches["target"]), ["source"] * 4 + ["target"] * 4, strict=True
    ):
        axes.imshow(image[0, 0], cmap="gray" if side == "source" else "magma", vmin=-2, vmax=4)
        axes.set_title(f"{strength}: {side}", fontsize=9)
        axes.set_axis_off()

# %% [markdown]
# **Question 2.** Which augmentation would be wrong for a network that is to measure the *amount* of a stain? Which would be wrong for
# a microscope whose pixel size never changes?
#
# <details><summary>Answer</summary>
#
# Dimming the source (`RandScaleIntensity`) tells the network that the contrast of the phase does not matter. Quantitative phase is
# proportional to dry mass, and a network for amounts needs it. Stretching (`RandAffine` with a scale) teaches it to accept cells of
# any size; with one objective, size is information, and a narrower range is better.
#
# </details>

# %% [markdown]
# ## 1.3 Train
#
# The network is VisCy's `UNeXt2_2D`, here with a million weights (VSCyto2D has many more). The loss is L1 plus multi-scale
# structural dissimilarity; the learning rate warms up, and falls along a cosine. The same as a command:
#
# ```sh
# image-translation train demo_plate --source Phase3D --target Nuclei Membrane -o data/exercise/small/phase2fluor --steps 600 --rate 2e-3
# ```
#
# It may be interrupted: the same command, or the same cell, goes on where it was. `tensorboard --logdir data/exercise` shows it live.

# %%
from image_translation.training.run import train

forward = train(options)
print(forward.best)

# %%
from image_translation.figures.training import plot_curves

plot_curves(forward.history)

# %%
figure, axes = plt.subplots(figsize=(9, 6.3), layout="constrained")
axes.imshow(plt.imread(options.output / "examples.png"))
axes.set_axis_off()

# %% [markdown]
# These fields were held out. Look at what is *missing* rather than at what is there: the outlines and places are right long before the
# texture inside a nucleus is, and some of that texture never comes.
#
# **Question 3.** Nuclei differ in brightness, and the prediction hardly does. Is the network too small, or trained too briefly?
#
# <details><summary>Answer</summary>
#
# Neither. How much dye a nucleus took up is a matter of chance (of its DNA content, too), and leaves next to no trace in the phase. What
# cannot be seen in the source cannot be predicted; a loss of squares or absolute differences then makes the network answer with what
# is typical. A prediction is an estimate of what is *likely*, and single nuclei that stand out by their brightness are lost.
#
# </details>
#
# Now the way back: from the stains to the phase. Only the names change.

# %%
backward_options = replace(options, source=stains, target=phase, output=results / "fluor2phase")
backward = train(backward_options)
figure, axes = plt.subplots(figsize=(8, 6.8), layout="constrained")
axes.imshow(plt.imread(backward_options.output / "examples.png"))
axes.set_axis_off()

# %% [markdown]
# **Question 4.** Which of the two directions is harder, and what does the network do where it cannot know?
#
# <details><summary>Answer</summary>
#
# The stains tell where a cell is and where its nucleus lies, but not how thick it is, and phase *is* thickness (times refractive index).
# The network paints the thickness of a typical cell. Debris has no stain, so it is missing from the predicted phase altogether.
#
# </details>

# %% [markdown]
# # Part 2: how good is it?
#
# ## 2.1 Stain the test images with two networks
#
# The test images come from another simulation. We stain them with our network, and with the one that comes with the package, which was trained
# much longer.

# %%
checkpoints = {"ours": str(forward.best), "second": names["second"]}
for label, checkpoint in checkpoints.items():
    stain = SmoothOptions(
        checkpoint,
        str(test_store.path),
        results / label,
        methods=("raw",),
        frames=(None, min(FRAMES, test_store.position(test_store.names[0]).shape[0])),
        overwrite=True,
    )
    stain.check()
    smooth_movie(make_plan(stain))

# %% [markdown]
# ## 2.2 Against the truth
#
# Pixels are compared by correlation (Pearson), structural similarity (SSIM), peak signal-to-noise ratio (PSNR) and mean absolute error.
# Then nuclei are segmented in truth and prediction by the same plain method, matched one to one, and compared: that is closer to what
# people do with the images. The same as a command: `image-translation evaluate ours/raw.ome.zarr second/raw.ome.zarr --truth ... -o ...`

# %%
from image_translation.evaluation.options import EvaluationOptions
from image_translation.evaluation.report import format_scores, judge

scores = judge(
    EvaluationOptions(
        tuple(results / label / "raw.ome.zarr" for label in checkpoints),
        truth=test_store.path,
        same=tuple(same.items()),
        output=results / "scores",
        overwrite=True,
    )
)
print(format_scores(scores))

# %%
figure, axes = plt.subplots(figsize=(9, 8.4), layout="constrained")
axes.imshow(plt.imread(results / "scores" / "scores.png"))
axes.set_axis_off()

# %%
figure, axes = plt.subplots(figsize=(9, 7.7), layout="constrained")
axes.imshow(plt.imread(results / "scores" / f"fields_{stains[0]}.png"))
axes.set_axis_off()

# %%
figure, axes = plt.subplots(figsize=(9, 7.7), layout="constrained")
axes.imshow(plt.imread(results / "scores" / f"fields_{stains[1]}.png"))
axes.set_axis_off()

# %% [markdown]
# **Question 5.** The line "mean of the truth" predicts the same grey everywhere. Why is its PSNR not zero? What does that say about a paper that
# reports PSNR alone?
#
# <details><summary>Answer</summary>
#
# PSNR compares the squared error with the square of the range of the truth. Most pixels of a nuclear stain are dark, so a constant
# grey is wrong by little in most of them. A PSNR means something only beside that of such a baseline, and with the data range stated.
#
# </details>
#
# **Question 6.** Are the pictures of nuclei good enough to count cells? To follow cells over time? To measure DNA content?
#
# <details><summary>Answer</summary>
#
# Count: compare `count_error` and the average precision at 0.5. Follow: positions are good where AP at 0.5 is, but see whether the
# prediction flickers (`image-translation smooth` and its score card). DNA content: no, see question 3; no score of shapes can
# make up for it.
#
# </details>

# %% [markdown]
# # Part 3: look inside, and find the limits
#
# ## 3.1 What every stage makes of an image
#
# Each stage of the network turns an image into tens or hundreds of feature maps. Their first three principal components, in red, green
# and blue, show what a stage tells apart. Colours are found for each stage by itself: they mean nothing from one stage to another.
# (`marimo edit image_translation/part1_inspection_widget.py` lets you explore this by hand.)

# %%
from image_translation.explorer.inspector import Inspector
from image_translation.explorer.stage_tiles import stage_colours, tile_rows
from image_translation.figures.tiles import overview_figure

test_position = test_store.position(test_store.names[0])
plane = test_position.shape[2] // 2
inspectors = {label: Inspector(checkpoint) for label, checkpoint in checkpoints.items()}
shown = inspectors["ours"].read(test_position, 0, plane)
view = inspectors["ours"].see(shown)
overview_figure(tile_rows(view, stage_colours([view]), test_position.pixel_size), "our network, phase to fluorescence")

# %%
back = Inspector(str(backward.best)).look(test_position, 0, plane)
overview_figure(tile_rows(back, stage_colours([back]), test_position.pixel_size), "our network, fluorescence to phase")

# %% [markdown]
# **Question 7.** In which stage do nuclei and membranes first have colours of their own? Which stages still show the noise of the input?
#
# <details><summary>Answer</summary>
#
# In our network the stem shows slopes, bodies and grain; outlines have a colour of their own from the first stage of the encoder on. The
# deeper stages are coarse: ground and cells differ, and the many colours among the cells tell where in a cell a pixel lies. Nuclei have a colour
# of their own only late in the decoder, which takes the exact places of edges from the encoder through the skip connections. On the way back, from
# the stains, nuclei and outlines are there from the beginning, for they are the input.
#
# </details>

# %% [markdown]
# ## 3.2 The regime of validity
#
# A network always answers. Whether the answer holds is known only for images like those it was trained and tested on. So disturb a test
# image step by step, and see how far the correlation with the truth holds: blur, focus, magnification, contrast, brightness, noise.
# The green band is where at least 95 % of it is kept for nuclei; the dotted line is the image as it is.

# %%
from image_translation.explorer.perturbation import DISTURBANCES
from image_translation.explorer.validity import strengths, sweep
from image_translation.explorer.validity_figures import plot_trials, plot_validity

kinds = ("blur", "defocus", "magnification", "contrast", "brightness", "noise")
trials = {
    kind: sweep(inspectors["ours"], shown, DISTURBANCES[kind], strengths(DISTURBANCES[kind], STRENGTHS))
    for kind in kinds
}
plot_validity(trials, stains)

# %%
plot_trials(trials["defocus"][::2], 0, stains[0])

# %%
plot_trials(trials["magnification"][::2], 0, stains[0])

# %% [markdown]
# The same for the second network, on the same image:

# %%
# its own normalisation, and the truth under the names of the store
second_shown = replace(inspectors["second"].read(test_position, 0, plane), truth=shown.truth)
second = {
    kind: sweep(inspectors["second"], second_shown, DISTURBANCES[kind], strengths(DISTURBANCES[kind], STRENGTHS))
    for kind in kinds
}
plot_validity(second, stains)

# %% [markdown]
# **Question 8.** Which disturbance does the normalisation undo, so that the curve should be flat, and why is it not, here?
#
# <details><summary>Answer</summary>
#
# Contrast and brightness of a whole field are undone by normalising. Here the image is disturbed *after* it was normalised, as if the
# statistics had come from another field: that is what happens where the store's statistics are of other images. The curves show
# what augmentation has prepared the network for: the contrast was varied in training, so that its curve is flat over a wide range; an added
# brightness was not.
#
# </details>
#
# **Question 9.** You get images from another microscope, with pixels twice as large. What would you do?
#
# <details><summary>Answer</summary>
#
# Look at the curve of the magnification: at 0.5 the correlation has fallen. Either resample the images to the pixel size that the network was
# trained with (its checkpoint says which, if the training data did), or train on a range of magnifications, or go on training from this
# checkpoint with images of the new microscope: `image-translation train NEW.ome.zarr --from best.ckpt ...`.
#
# </details>

# %% [markdown]
# ## What next
#
# - Train on your own pairs: `image-translation train PLATE.ome.zarr --source ... --target ... -o DIR`, on a GPU with `--size full --patch 256
#   --batch-size 16 --precision bf16`.
# - Stain a movie with what you trained, and make it steady: `image-translation smooth -c DIR/best.ckpt -m MOVIE.ome.zarr -o OUT`.
# - Hold it against the truth, wherever you have some: `image-translation evaluate OUT --truth TRUTH.ome.zarr`.
# - And before you believe a picture: find out whether your images lie within the regime that you have just measured.
