#!/bin/bash

newline='
'
export MLXP_RUN_DIR=/home/me/two"$newline"lines/logs/5
start_time=$(date +%s)
# Record how the run ends, even if a signal ends it.
record_end() { cd / && /home/me/.venv/bin/python -m mlxp_core.jobs.record_end "$MLXP_RUN_DIR"/metadata/info.yaml "$1" "$start_time"; }
trap 'record_end $?' EXIT
trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM; trap 'exit 138' USR1; trap 'exit 140' USR2

conda activate torch

cd /home/me/tutorial || exit
# The script exits with the application's exit status.
trap 'record_end $?' EXIT; trap : HUP INT TERM USR1 USR2
/home/me/.venv/bin/python -u main.py \
    lr=0.001 seed=1 \
    hydra/launcher=x \
    hydra.mode=RUN hydra.run.dir=/home/me/two"$newline"lines/logs/5 "hydra.job.id='${MLXP_LOCAL_JOB_ID:-by-hand}'"
