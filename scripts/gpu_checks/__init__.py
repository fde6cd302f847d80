"""The checks of scripts/gpu_check.py: numerics (this process), trainings (the real scripts), speed; bench: shared."""
