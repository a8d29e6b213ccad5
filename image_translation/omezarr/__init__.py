"""OME-Zarr: read stores of any writer, and write stores with the layout of their input.

In: a path. Out: a `Store` with its `Position` objects, which read planes as (Y, X) arrays; and output stores, written
frame by frame. Start with `store`.

- `store`: open stores and read planes
- `layout`: names of the images of plates and series
- `metadata`: tolerant parsing of the metadata of all versions
- `arrays`: groups and arrays, opened with zarr and tensorstore; the cache of decoded chunks
- `chunk_files`: the files of chunks, which may be missing or change
- `tracked_labels`: label images of tracked objects, and their lineage
- `registered`: images that are displaced by stored shifts when they are read
- `selection`: channel, planes and frames from command line options
- `digest`: the hash by which a movie is recognised
- `statistics`: normalisation statistics of a movie or of a whole store, and display windows
- `frame_statistics`: normalisation statistics of single frames, and their medians over neighbouring frames
- `axes`: the axes of an image as metadata, with valid units
- `blank_frames`: invalid frames as zeros, and back
- `output`: create output stores; add display windows and provenance
- `plate`: create plates that copy no other
- `plane_stack`: write the frames of a plane in complete shards, and read them back
- `labels`: write label images
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
