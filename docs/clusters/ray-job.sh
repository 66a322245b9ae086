#!/bin/sh
# RAY_AUTH_MODE=token RAY_API_SERVER_ADDRESS=http://HEAD:8265 ./ray-job.sh
# Without RAY_AUTH_MODE where the cluster asks for no token.
# Ray copies the folder to the cluster and runs the command there. Data and run directory are where all nodes see them.
ray job submit --working-dir . -- \
  unshaken audit --model py:net.py:build --data folder:/data/photos --plan plan.yaml \
  --out /data/runs/whole --resume --engine ray
