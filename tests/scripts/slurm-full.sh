#!/bin/bash
#SBATCH --job-name="my job"
#SBATCH --output=/home/me/tutorial/logs/5/log.stdout
#SBATCH --error=/home/me/tutorial/logs/5/log.stderr
#SBATCH --open-mode=append
#SBATCH --time=90
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=3
#SBATCH --gpus-per-node=2
#SBATCH --partition=main
#SBATCH --qos=high
#SBATCH --account=me@lab
#SBATCH --constraint=a100|h100
#SBATCH --gres=gpu:a100:2
#SBATCH --exclude=node[1-3]
#SBATCH --comment="a \"quoted\" \\ comment # here"
#SBATCH --cpus-per-gpu=8
#SBATCH --gpus-per-task=1
#SBATCH --mem-per-cpu=4G
#SBATCH --mem-per-gpu=40G
#SBATCH --mem=1536M
#SBATCH --mail-type=END
#SBATCH --exclusive
#SBATCH --nice=10
#SBATCH --signal=B:USR1@30
#SBATCH --reservation=night shift

# For torch.distributed: an address and a free port of this run, and the rank of each task.
if [ "$SLURM_JOB_ID" ]; then
    first_host=127.0.0.1
    if [ "$SLURM_JOB_NUM_NODES" != 1 ]; then
        first_host=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
    fi
    export MASTER_ADDR="${MASTER_ADDR:-$first_host}"
    export MASTER_PORT="${MASTER_PORT:-$(/home/me/.venv/bin/python -S -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')}"
    export LOCAL_WORLD_SIZE=4
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
export PYTHONPATH='src:/a b'

source ~/.profile
module purge
unset DISPLAY
conda activate torch

cd /home/me/tutorial || { echo "mlxp: This run's code is gone. If it was a safe copy, 'mlxp resubmit' makes it again." >&2; exit 1; }
# The script exits with the application's exit status.
trap 'record_end $?' EXIT; trap : HUP INT TERM USR1 USR2
${SLURM_JOB_ID:+srun --overlap --cpus-per-task=3 sh -c "$as_task" sh} /home/me/.venv/bin/python -u main.py \
    lr=0.001 seed=1 \
    hydra/launcher=x \
    hydra.mode=RUN hydra.run.dir=/home/me/tutorial/logs/5 "hydra.job.id='$MLXP_JOB_ID'"
