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
# # Image translation: virtual staining, and when to trust it
#
# A phase image shows every cell, but labels neither nuclei nor membranes. Fluorescence is specific, but dyes have to be brought
# into the cell, bleach, and are toxic. **Virtual staining** trains a network on pairs of both, which then predicts the fluorescence
# from the phase image alone.
#
# In this notebook you will
#
# 1. inspect the data and their augmentation, and **train** a network for phase → fluorescence, and another for the reverse;
# 2. **evaluate** the first one against a second checkpoint, by pixels and by nuclei;
# 3. look **inside**: the features of every stage of the network, and its **regime of validity**.
#
# It runs from top to bottom in a quarter of an hour on two cores, on small simulated data. Every step is also available as a command
# of `image-translation`; the notebook only calls functions of the package.
#
# Start it with `uv run jupyter lab exercise.ipynb`.

# %% [markdown]
# ## Settings
#
# `SETTING = "small"` uses simulated cells, which are part of the package, and needs no internet and no GPU. `SETTING = "a549"` uses real
# A549 cells (phase, Hoechst, CellMask), which are downloaded at first use, and needs a GPU. The text below describes the results
# of the small setting.

# %% tags=["settings"]
SETTING = "small"  # or "a549"
STEPS = {"small": 600, "a549": 12_000}[SETTING]  # optimiser steps of each training
FRAMES = 6  # test images of each position
STRENGTHS = 9  # of each perturbation, in part 3

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
# Always look at the data first. Below are four positions: the phase, and the two corresponding stains.

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
# The intensities of two positions are not comparable: they differ in cell density and background. A network that was
# trained on one scale and gets another predicts a wrong stain, without any warning. Therefore the phase is **normalised**: the mean of
# the field of view is subtracted, and the result divided by the standard deviation. Invalid frames (empty, constant, or not finite)
# must be excluded. `training.make_plan` scans the store, excludes such frames, and computes the statistics, which `training.train` saves
# beside the checkpoint. The store itself is never modified.

# %%
from image_translation import training

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
plan = training.make_plan(options)
fields = plan.fields
print(f"{len(fields.train)} images to train on; {len(fields.held_out)} are held out")
for name in chosen:
    statistics = fields.source_statistics[name][phase[0]]
    print(f"{name}: mean {statistics.center:.3f}, standard deviation {statistics.scale:.3f}")

# %% [markdown]
# **Question 1.** The stains are normalised as well, but by the mean and standard deviation of *all* fields together. What would go
# wrong if each field were normalised by its own?
#
# <details><summary>Answer</summary>
#
# Take a field without cells: its standard deviation is that of the noise. Divided by it, the noise becomes as bright as the nuclei
# of another field, and the network is trained to predict noise. With one scale for all, an empty field stays empty, and a bright one
# stays bright. For the *input* it is the opposite: gain and background of the microscope differ from field to field, without carrying
# information.
#
# </details>
#
# Also note that complete positions are held out for validation, not single frames. Neighbouring frames of a movie are nearly identical;
# if one of them is in the training data, the other is no independent test.

# %% [markdown]
# ## 1.2 Augmentation
#
# Patches are cropped at random positions, more often where there is stain. They are then augmented, so that the network becomes
# insensitive to irrelevant variation: orientation of the cells, drift of the focus, noise of the camera. Changes of the *geometry* are
# applied to source and target alike; changes of the *intensity* to the source only.

# %%
from image_translation.training.patches import StoreDataModule

figure, panels = plt.subplots(6, 4, figsize=(8, 12), layout="constrained")
for rows, strength in zip(panels.reshape(3, 2, 4), ("none", "weak", "strong"), strict=True):
    data_module = StoreDataModule(fields, replace(plan.options, augmentation=strength, batch_size=4))
    patches = next(iter(data_module.train_dataloader()))
    for axes, image, side in zip(
        rows.ravel(), (*patches["source"], *patches["target"]), ["source"] * 4 + ["target"] * 4, strict=True
    ):
        axes.imshow(image[0, 0], cmap="gray" if side == "source" else "magma", vmin=-2, vmax=4)
        axes.set_title(f"{strength}: {side}", fontsize=9)
        axes.set_axis_off()

# %% [markdown]
# **Question 2.** Which augmentation would be wrong for a network that predicts the *amount* of a stain quantitatively? Which would be
# unnecessary for a microscope whose pixel size never changes?
#
# <details><summary>Answer</summary>
#
# Scaling the intensity of the source (`RandScaleIntensity`) makes the network insensitive to the contrast of the phase. Quantitative
# phase is proportional to dry mass, which a quantitative network needs. Scaling the geometry (`RandAffine`) makes it insensitive to
# the size of cells; with one objective, size is information, and a narrower range is better.
#
# </details>

# %% [markdown]
# ## 1.3 Train
#
# The network is VisCy's `UNeXt2_2D`, here with a million weights (VSCyto2D has many more). The loss is L1 plus multi-scale
# structural dissimilarity; the learning rate has a linear warm-up and a cosine decay. The same as a command:
#
# ```sh
# image-translation train demo_plate --source Phase3D --target Nuclei Membrane -o data/exercise/small/phase2fluor --steps 600 --rate 2e-3
# ```
#
# It may be interrupted: the same command, or the same cell, resumes it. `tensorboard --logdir data/exercise` shows its progress.

# %%
forward = training.train(plan)
print(forward.best)

# %%
from image_translation.figures.training import learning_curve_figure

learning_curve_figure(forward.history)

# %%
figure, axes = plt.subplots(figsize=(9, 6.3), layout="constrained")
axes.imshow(plt.imread(options.output / "examples.png"))
axes.set_axis_off()

# %% [markdown]
# These are validation fields. Look at what is *missing* rather than at what is predicted: positions and outlines are learned long
# before the texture inside a nucleus, and some of that texture is never learned.
#
# **Question 3.** True nuclei differ in brightness, predicted ones hardly do. Is the network too small, or the training too short?
#
# <details><summary>Answer</summary>
#
# Neither. The amount of dye in a nucleus is partly random (and depends on its DNA content), and is hardly visible in the phase. What
# is not in the source cannot be predicted; with a loss of squared or absolute differences, the network then predicts a typical
# value. A prediction is an estimate of what is *likely*; exceptionally bright nuclei are lost.
#
# </details>
#
# Now the reverse direction: from the stains to the phase. Only the channel names change.

# %%
backward_options = replace(options, source=stains, target=phase, output=results / "fluor2phase")
backward = training.train(training.make_plan(backward_options))
figure, axes = plt.subplots(figsize=(8, 6.8), layout="constrained")
axes.imshow(plt.imread(backward_options.output / "examples.png"))
axes.set_axis_off()

# %% [markdown]
# **Question 4.** Which of the two directions is harder, and what does the network predict where the source lacks information?
#
# <details><summary>Answer</summary>
#
# The stains show where a cell and its nucleus are, but not how thick the cell is, and phase *is* thickness (times the difference in
# refractive index). The network predicts the thickness of a typical cell. Debris is not stained, so the predicted phase lacks it.
#
# </details>

# %% [markdown]
# # Part 2: evaluation
#
# ## 2.1 Stain the test images with two networks
#
# The test images are from another simulation. We stain them with our network, and with the bundled one, which was trained
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
# ## 2.2 Comparison with the truth
#
# Pixels are compared by correlation (Pearson), structural similarity (SSIM), peak signal-to-noise ratio (PSNR) and mean absolute error.
# Then nuclei are segmented in truth and prediction by the same simple method, matched one to one, and compared: this is closer to the
# actual use of the images. The same as a command: `image-translation evaluate ours/raw.ome.zarr second/raw.ome.zarr --truth ... -o ...`

# %%
from image_translation import evaluation

evaluation_options = evaluation.EvaluationOptions(
    tuple(results / label / "raw.ome.zarr" for label in checkpoints),
    truth=test_store.path,
    same=tuple(same.items()),
    output=results / "scores",
    overwrite=True,
)
scores = evaluation.evaluate(evaluation.make_plan(evaluation_options))
print(evaluation.format_scores(scores.against_truth))

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
# **Question 5.** The line "mean of the truth" is a constant prediction. Why is its PSNR not zero? What does this mean for a paper that
# reports PSNR only?
#
# <details><summary>Answer</summary>
#
# PSNR compares the squared error with the square of the range of the truth. Most pixels of a nuclear stain are dark, so the error of a
# constant is small in most of them. A PSNR is meaningful only in comparison with such a baseline, and with the data range stated.
#
# </details>
#
# **Question 6.** Are the predicted nuclei good enough to count cells? To track cells over time? To measure DNA content?
#
# <details><summary>Answer</summary>
#
# Counting: see `count_error` and the average precision (AP) at 0.5. Tracking: positions are accurate if the AP at 0.5 is high, but check
# whether the prediction flickers (`image-translation smooth` and its score card). DNA content: no, see question 3; good scores of
# shapes do not change that.
#
# </details>

# %% [markdown]
# # Part 3: features, and the limits of the network
#
# ## 3.1 Features of every stage
#
# Each stage of the network computes tens or hundreds of feature maps. Their first three principal components, in red, green
# and blue, show what a stage distinguishes. The components are fitted to each stage separately: colours of different stages cannot be
# compared. (`marimo edit image_translation/part1_inspection_widget.py` lets you explore this interactively.)

# %%
from image_translation.explorer.inspector import Inspector
from image_translation.explorer.stage_tiles import stage_colours, tile_rows
from image_translation.figures.tiles import overview_figure

test_position = test_store.position(test_store.names[0])
plane = test_position.shape[2] // 2
inspectors = {label: Inspector(checkpoint) for label, checkpoint in checkpoints.items()}
network_input = inspectors["ours"].read(test_position, 0, plane)
activations = inspectors["ours"].run(network_input)
rows = tile_rows(activations, stage_colours([activations]), test_position.pixel_size)
overview_figure(rows, "our network, phase to fluorescence")

# %%
activations = Inspector(str(backward.best)).inspect(test_position, 0, plane)
rows = tile_rows(activations, stage_colours([activations]), test_position.pixel_size)
overview_figure(rows, "our network, fluorescence to phase")

# %% [markdown]
# **Question 7.** In which stage do nuclei and membranes first have distinct colours? Which stages still show the noise of the input?
#
# <details><summary>Answer</summary>
#
# In our network, the stem shows gradients, cell bodies and noise; outlines have a distinct colour from the first stage of the encoder
# on. The deeper stages are coarse: background and cells differ, and the colours within the cells depend on the position in the cell. Nuclei have a
# distinct colour only late in the decoder, which gets the exact positions of edges from the encoder through the skip connections. In the reverse
# network, nuclei and outlines are distinct from the first stage on, because they are the input.
#
# </details>

# %% [markdown]
# ## 3.2 The regime of validity
#
# A network always returns a prediction. Its accuracy is known only for images similar to those on which it was trained and tested. So we
# perturb a test image step by step, and measure the correlation with the truth: blur, focus, magnification, contrast, brightness, noise.
# The green band is where the correlation of nuclei is at least 95 % of that of the original image, which is the dotted line.

# %%
from image_translation.explorer.perturbation import PERTURBATIONS
from image_translation.explorer.validity import sample_strengths, sweep, trial_figure, validity_figure

kinds = ("blur", "defocus", "magnification", "contrast", "brightness", "noise")
trials = {
    kind: sweep(
        inspectors["ours"], network_input, PERTURBATIONS[kind], sample_strengths(PERTURBATIONS[kind], STRENGTHS)
    )
    for kind in kinds
}
validity_figure(trials, stains)

# %%
trial_figure(trials["defocus"][::2], 0, stains[0])

# %%
trial_figure(trials["magnification"][::2], 0, stains[0])

# %% [markdown]
# The same for the second network, on the same image:

# %%
# its own normalisation, and the truth under the names of the store
second_input = replace(inspectors["second"].read(test_position, 0, plane), truth=network_input.truth)
second = {
    kind: sweep(
        inspectors["second"], second_input, PERTURBATIONS[kind], sample_strengths(PERTURBATIONS[kind], STRENGTHS)
    )
    for kind in kinds
}
validity_figure(second, stains)

# %% [markdown]
# **Question 8.** Which perturbations does normalisation remove, so that the curve should be flat, and why is it not flat here?
#
# <details><summary>Answer</summary>
#
# Normalisation removes changes of contrast and brightness of the complete field. Here the image is perturbed *after* normalisation, as if
# the statistics were those of another field, which happens if the statistics in a store are those of other images. The curves show
# the effect of augmentation: contrast was varied in training, so its curve is flat over a wide range; a constant offset of the brightness
# was not added.
#
# </details>
#
# **Question 9.** You get images from another microscope, with pixels twice as large. What would you do?
#
# <details><summary>Answer</summary>
#
# See the curve of the magnification: at 0.5 the correlation is lower. Either resample the images to the pixel size of the training
# data (which the checkpoint stores, if it was known), or train on a range of magnifications, or fine-tune this
# checkpoint on images of the new microscope: `image-translation train NEW.ome.zarr --from best.ckpt ...`.
#
# </details>

# %% [markdown]
# ## Next steps
#
# - Train on your own pairs: `image-translation train PLATE.ome.zarr --source ... --target ... -o DIR`, on a GPU with `--size full --patch 256
#   --batch-size 16 --precision bf16`.
# - Stain a movie with your network, and reduce its flicker: `image-translation smooth -c DIR/best.ckpt -m MOVIE.ome.zarr -o OUT`.
# - Compare it with the truth, if available: `image-translation evaluate OUT --truth TRUTH.ome.zarr`.
# - And before you trust a prediction: check whether your images lie within the regime of validity that you have just measured.
