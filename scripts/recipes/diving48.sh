#!/usr/bin/env bash
# H2CN-R50 on Diving48 (V2 labels): train, test, merge.   bash scripts/recipes/diving48.sh [SEGMENTS: 8 or 16]
# Paper: 87.0 (16). No H2CN recipe was published for this data set: the schedule is from the same authors' later code
# for TSM (batch 64), the rest from Something-Something V1.
# Not run by us, for lack of the data set and a GPU.
set -euo pipefail
LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT
T=${1:-16}
python train.py diving48 RGB --arch resnet50 --net H2CN --num_segments "$T" --gd 20 --lr 0.01 \
    --lr_steps 20 40 --epochs 50 --batch-size 64 --gpus 0 1 2 3 4 5 6 7 --wd 5e-4 --dropout 0.5 \
    -j 16 --npb --pretrain imagenet --hourglass_start published --suffix paper --resume auto | tee -i "$LOG"
RUN=$(sed -n 's/^run: //p' "$LOG")
python test_models_center_crop.py --weights "$RUN/ckpt.best.pth.tar" --output_dir "scores/diving48_${T}f"
python pkl_to_results.py --output_dir "scores/diving48_${T}f"
