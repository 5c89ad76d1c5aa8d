#!/bin/bash
#SBATCH --job-name=logs/5
#SBATCH --output=/home/me/tutorial/logs/5/log.stdout
#SBATCH --error=/home/me/tutorial/logs/5/log.stderr
#SBATCH --open-mode=append

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
# The script exits with the application's exit status.
trap 'record_end $?' EXIT; trap : HUP INT TERM USR1 USR2
/home/me/.venv/bin/python -u main.py \
    lr=0.001 seed=1 \
    hydra/launcher=x \
    hydra.mode=RUN hydra.run.dir=/home/me/tutorial/logs/5 "hydra.job.id='$MLXP_JOB_ID'"
