#!/bin/bash
#SBATCH --job-name=logs/5
#SBATCH --output=/home/me/tutorial/logs/5/log.stdout
#SBATCH --error=/home/me/tutorial/logs/5/log.stderr
#SBATCH --open-mode=append
#SBATCH --time=120
#SBATCH --nodes=2
#SBATCH --requeue
#SBATCH --signal=B:USR2@90

# For torch.distributed: an address and a free port of this run, and the rank of each task.
if [ "$SLURM_JOB_ID" ]; then
    first_host=127.0.0.1
    if [ "$SLURM_JOB_NUM_NODES" != 1 ]; then
        first_host=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
    fi
    export MASTER_ADDR="${MASTER_ADDR:-$first_host}"
    export MASTER_PORT="${MASTER_PORT:-$(/home/me/.venv/bin/python -S -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')}"
    export LOCAL_WORLD_SIZE=1
fi
as_task='export RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID NODE_RANK=$SLURM_NODEID WORLD_SIZE=$SLURM_NTASKS; exec "$@"'
export MLXP_RUN_DIR=/home/me/tutorial/logs/5
export MLXP_JOB_ID="${SLURM_ARRAY_JOB_ID:-${SLURM_JOB_ID:-by-hand}}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"
export MLXP_START=$(date +%s%N)-$$
# Record how the run ends, even if a signal ends it. A run that completed has recorded its end itself.
record_end() {
    cd / || exit
    if [ "$1" = 0 ] && grep -qsx "completed_start: $MLXP_START" "$MLXP_RUN_DIR"/metadata/info.yaml; then
        echo 'exit_status: 0' >> "$MLXP_RUN_DIR"/metadata/info.yaml && return
    fi
    /home/me/.venv/bin/python -m mlxp_core.jobs.record_end "$MLXP_RUN_DIR"/metadata/info.yaml "$1" "$MLXP_START"
}
trap 'record_end $?' EXIT
trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM; trap 'exit 138' USR1; trap 'exit 140' USR2

cd /home/me/tutorial || { echo "mlxp: This run's code is gone. If it was a safe copy, 'mlxp resubmit' makes it again." >&2; exit 1; }
# The exit status is that of the application, which receives a signal when the time limit is near.
cd / && exec /home/me/.venv/bin/python -m mlxp_core.jobs.requeue_wrapper --signal USR2 --grace-s 60 --max-requeues 3 \
    --job "${SLURM_ARRAY_JOB_ID:-${SLURM_JOB_ID:-by-hand}}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}" --command "scontrol requeue" \
    --directory "$OLDPWD" --info "$MLXP_RUN_DIR"/metadata/info.yaml --start "$MLXP_START" -- \
${SLURM_JOB_ID:+srun --overlap sh -c "$as_task" sh} /home/me/.venv/bin/python -u main.py \
    lr=0.001 seed=1 \
    hydra/launcher=x \
    hydra.mode=RUN hydra.run.dir=/home/me/tutorial/logs/5 "hydra.job.id='$MLXP_JOB_ID'"
