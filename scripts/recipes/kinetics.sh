#!/usr/bin/env bash
# H2CN-R50 on Kinetics-400: train, test (30 views), merge.   bash scripts/recipes/kinetics.sh [SEGMENTS: 8 or 16]
# No H2CN recipe was published for this data set: optimiser, schedule and batch (8 x 16 clips per step) are from TDN.
# Paper: 76.9 / 93.0 (8), 77.9 / 93.3 (16), 30 views. Not run by us, for lack of the data set and a GPU.
set -euo pipefail
LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT
T=${1:-8}
python train.py kinetics RGB --arch resnet50 --net H2CN --num_segments "$T" --gd 20 --lr 0.02 \
    --lr_steps 50 75 90 --epochs 100 --gpus 0 1 2 3 4 5 6 7 --batch-size 128 --wd 1e-4 --dropout 0.5 \
    --consensus_type=avg --eval-freq=1 -j 32 --npb --pretrain imagenet --hourglass_start published \
    --suffix paper --resume auto | tee -i "$LOG"
RUN=$(sed -n 's/^run: //p' "$LOG")
python test_models_three_crops.py --weights "$RUN/ckpt.best.pth.tar" --test_crops 3 --full_res \
    --clip_index 0-9 --output_dir "scores/kinetics_${T}f"
python pkl_to_results.py --num_clips 10 --test_crops 3 --output_dir "scores/kinetics_${T}f"
