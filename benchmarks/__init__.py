"""What the main job costs in time and memory, beside the usual script: ``python -m benchmarks``."""
