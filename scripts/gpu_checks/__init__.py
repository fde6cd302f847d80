"""The checks of scripts/gpu_check.py: numerics (in this process), trainings (by the scripts), speed; shared: bench."""
