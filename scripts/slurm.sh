#!/usr/bin/env bash
# Train on one or more nodes of a Slurm cluster; the job is requeued before its time is up, and goes on where it was.
#   sbatch --nodes 2 --gpus-per-node 8 --cpus-per-task 64 --time 12:00:00 scripts/slurm.sh kinetics RGB --net H2CN ...
# Submit it from this folder, on a disk that all nodes share. PROCESSES sets the processes per node (default: its GPUs).
# Five minutes before the end Slurm sends SIGUSR1; train.py then finishes its step and saves. A crash restarts all
# processes, up to three times. Tried with stand-ins for Slurm's commands only, for lack of a cluster.
#SBATCH --job-name=h2cn
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@300
set -uo pipefail

OUT_OF_TIME=
trap 'OUT_OF_TIME=yes; kill -USR1 "$STEP"' USR1
trap 'kill -TERM "$STEP"' TERM  # scancel, or a pre-emption, after which Slurm requeues the job itself

export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1  # else restarted processes may look for those before (torch 2.15)
HEAD=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun torchrun --nnodes "$SLURM_NNODES" --nproc_per_node "${PROCESSES:-gpu}" --max-restarts 3 \
    --rdzv_id "$SLURM_JOB_ID" --rdzv_backend c10d --rdzv_endpoint "$HEAD:$((20000 + SLURM_JOB_ID % 20000))" \
    --signals-to-handle SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1,SIGUSR2 --shutdown-timeout 240 \
    train.py "$@" --resume auto &
STEP=$!
STATUS=255
while kill -0 "$STEP" 2> /dev/null; do  # a signal ends `wait` early
    wait "$STEP"
    STATUS=$?
done
if [[ -n $OUT_OF_TIME && $STATUS -ne 0 ]]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$STATUS"
