# unshaken on the CPU (--build-arg TORCH=cuda: with CUDA). It runs without root and with a read-only root file system:
#
#   docker build -t unshaken .
#   docker run --rm --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
#     --user "$(id -u):$(id -g)" -v "$PWD:/data" unshaken audit --model demo --data demo --out runs/demo

FROM python:3.12-slim AS build
ARG EXTRAS=""
ARG TORCH=cpu
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY scripts/install_torch.sh /src/
RUN TORCH="$TORCH" /src/install_torch.sh python
COPY pyproject.toml README.md LICENSE /src/
COPY src /src/src
RUN pip install "/src${EXTRAS:+[$EXTRAS]}" && python -m compileall -q /opt/venv/lib/python3*/site-packages/unshaken
RUN unshaken --version

FROM python:3.12-slim
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    XDG_CACHE_HOME=/tmp/cache
WORKDIR /data
USER 10001:10001
ENTRYPOINT ["unshaken"]
CMD ["--help"]
