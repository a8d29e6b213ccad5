"""Time, memory and image quality, measured against baselines: ``python -m benchmarks``."""
