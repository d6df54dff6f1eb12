"""The main job on real input, told as it happens: `python -m tests.demo`."""
