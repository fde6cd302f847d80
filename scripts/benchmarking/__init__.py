"""Parts of scripts/benchmark.py. A command each: model_and_step (of networks), loading (of material: made-up videos),
views, growth. Shared: timing (turns, ratios), memory, report (tables, the machine, JSON).
"""
