"""Parts of scripts/benchmark.py: its commands in model_and_step, loading, views and growth; networks and material to
measure; timing, memory and report for all."""
