#!/bin/sh
# torchrun --nproc-per-node 2 --no-python ./torchrun-part.sh
# Each process that torchrun starts computes a part of the run; with GPUs add --device "cuda:$LOCAL_RANK".
part=$((RANK + 1))
unshaken audit --model py:net.py:build --data folder:photos --plan plan.yaml \
  --part "$part/$WORLD_SIZE" --out "runs/part-$part" --resume
code=$?
[ "$code" -eq 3 ] || exit "$code" # 3: finished, and some samples could not be read
