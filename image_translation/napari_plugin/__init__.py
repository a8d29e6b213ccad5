"""The napari plugin: layers in, stained and smoothed layers and their score card out.

It needs the extra ``napari``; nothing else of the package imports it. ``napari.yaml`` lists what it offers to napari.
Work runs in threads of napari, so that the viewer stays responsive. Start with `stain_widget`.

- `stain_widget`: the widget that stains and smooths: start, cancel, progress, layers
- `stain_form`: its form: layer, axes, network, methods; `checkpoint_choice`: the field for the network
- `stain_request`: what was chosen, as arguments of ``stain_frames``
- `stain_worker`: the staining in another thread
- `layer_axes`: which axis of a layer is time, channel and z; layers as movies, and stains as layers
- `result_layers`: names, colours and place of the layers of results
- `score_card_widget`: the widget that shows score cards
- `sample_data`: the embedded movie as layers
"""
