"""Networks, training engine, scores and checkpoints. One subject per file:

Network      network (what all offer), models (`build_model`), torchvision_nets, flops, prepare (for inference); the
             ResNet family: resnet, blocks, shift, hourglass, h2cn (its two motion modules), tdn
Weights      checkpoint (`load_weights`), checkpoint_file, layouts (other people's state dicts), pretrained (by name),
             trained_on
Training     optimiser, schedule, recipes, engine, fit, training, runtime (devices and processes), run_folder, run_log,
             run_history, timing, study (many small trainings)
Mixing       mixing (Mixup, CutMix, VideoMix), svmix, svmix_training, mixer (of a batch)
Evaluation   inference, score_journal, scores, array_pickles (how they are read), merge, metrics, plots
"""
