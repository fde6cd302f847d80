"""Networks, training engine, scores and checkpoints. One subject per file:

Network      shift, hourglass, h2cn (its two motion modules), blocks, network, models (`build_model`), flops
Weights      checkpoint (save, load, `load_weights`), layouts (other people's state dicts)
Training     optimiser, schedule, recipes, engine, fit, training, runtime (devices and processes), run_log
Evaluation   inference, scores, merge, metrics, plots
"""
