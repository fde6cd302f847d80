#!/usr/bin/env bash
# H2CN-R50 on Something-Something V2: train, test, merge.   bash scripts/recipes/somethingv2.sh [SEGMENTS: 8 or 16]
# No H2CN recipe was published for this data set: optimiser, schedule and batch (8 x 8 clips per step) are from TDN.
# Paper: 65.2 / 89.7 (8), 66.4 / 90.1 (16). Not run by us, for lack of the data set and a GPU.
set -euo pipefail
LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT
T=${1:-8}
python train.py somethingv2 RGB --arch resnet50 --net H2CN --num_segments "$T" --gd 20 --lr 0.01 \
    --lr_steps 30 45 55 --epochs 60 --gpus 0 1 2 3 4 5 6 7 --batch-size 64 --wd 5e-4 --dropout 0.5 --consensus_type=avg \
    --eval-freq=1 -j 16 --npb --pretrain imagenet --hourglass_start published \
    --suffix paper --resume auto | tee -i "$LOG"
RUN=$(sed -n 's/^run: //p' "$LOG")
python test_models_center_crop.py --weights "$RUN/ckpt.best.pth.tar" --output_dir "scores/somethingv2_${T}f"
python pkl_to_results.py --output_dir "scores/somethingv2_${T}f"
