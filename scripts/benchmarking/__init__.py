"""The commands of scripts/benchmark.py, and the timing, memory and report code that they share."""
