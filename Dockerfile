# Not built by us yet. The default wheels of torch compute on NVIDIA GPUs and on CPUs:
#   docker build -t gan-lightning .
#   docker run --rm --gpus all -v "$PWD:/work" gan-lightning fit --config digits/dcgan
# An image without CUDA, which is smaller, takes torch from PyTorch's index of CPU wheels, whose
# address PyTorch's install selector shows:
#   docker build -t gan-lightning-cpu --build-arg TORCH_INDEX=ADDRESS .
FROM python:3.11-slim

# Triton and torch.compile (--model.compile true) call a compiler.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

ARG TORCH_INDEX=""
RUN pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} \
    "torch>=2.11" "torchvision>=0.26"

COPY . /source
RUN pip install --no-cache-dir /source && rm -rf /source

# Runs, data and caches are written here.
WORKDIR /work
ENV HOME=/work
ENTRYPOINT ["gan-lightning"]
CMD ["--help"]
