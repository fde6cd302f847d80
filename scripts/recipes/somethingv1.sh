#!/usr/bin/env bash
# H2CN-R50 on Something-Something V1: train, test, merge.   bash scripts/recipes/somethingv1.sh [SEGMENTS: 8 or 16]
# The 8-segment training is the only published H2CN recipe. Paper: 53.6 / 81.4 (8), 55.0 / 82.4 (16).
# Not run by us, for lack of the data set and a GPU.
set -euo pipefail
LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT
T=${1:-8}
python train.py somethingv1 RGB --arch resnet50 --net H2CN --num_segments "$T" --gd 20 --lr 0.01 \
    --lr_steps 30 45 55 --epochs 60 --batch-size 8 --wd 5e-4 --dropout 0.5 --consensus_type=avg \
    --eval-freq=1 -j 16 --npb --pretrain imagenet --hourglass_start published \
    --suffix paper --resume auto | tee -i "$LOG"
RUN=$(sed -n 's/^run: //p' "$LOG")
python test_models_center_crop.py --weights "$RUN/ckpt.best.pth.tar" --output_dir "scores/somethingv1_${T}f"
python pkl_to_results.py --output_dir "scores/somethingv1_${T}f"
