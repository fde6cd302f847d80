"""Baselines for tests and benchmarks, written plainly. ops/ and datasets/ import nothing from here."""
