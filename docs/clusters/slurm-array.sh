#!/bin/sh
#SBATCH --job-name=unshaken
#SBATCH --array=0-2
#SBATCH --cpus-per-task=4
#SBATCH --time=04:00:00
#SBATCH --output=part-%a.txt
# A task of the array computes a part of the run. PARTS is the number of tasks of the whole array, also where some of
# them are submitted again (sbatch --array=1 ...); --resume goes on with what a task had before it was requeued.
PARTS=3
part=$((SLURM_ARRAY_TASK_ID + 1))
unshaken audit --model py:net.py:build --data folder:photos --plan plan.yaml \
  --part "$part/$PARTS" --out "runs/part-$part" --resume
code=$?
[ "$code" -eq 3 ] || exit "$code" # 3: finished, and some samples could not be read
