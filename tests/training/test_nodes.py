"""Several nodes, started by torchrun: two on the loopback interface."""

import os
import socket
import subprocess
import sys

import pytest
import torch


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_two_nodes_train_one_model(tmp_path):
    port = free_port()
    nodes = [
        subprocess.Popen(
            [
                *(
                    sys.executable,
                    "-m",
                    "torch.distributed.run",
                    "--nnodes=2",
                    "--nproc_per_node=1",
                ),
                *(f"--node_rank={rank}", "--master_addr=127.0.0.1", f"--master_port={port}"),
                *("-m", "gan_lightning", "fit", "--model=WGANGP", "--data=Digits"),
                *("--model.generator_width=8", "--model.critic_width=8", "--data.batch_size=8"),
                *("--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.num_nodes=2"),
                *("--trainer.max_steps=4", "--trainer.enable_progress_bar=false"),
                f"--trainer.default_root_dir={tmp_path}",
            ],
            cwd=tmp_path,
            env=os.environ | {"GLOO_SOCKET_IFNAME": "lo"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        outputs = [node.communicate(timeout=200)[0] for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    assert [node.returncode for node in nodes] == [0, 0], "\n".join(outputs)
    assert "MEMBER: 2/2" in outputs[1]
    folder = tmp_path / "Digits-WGANGP" / "version_0"
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 4
    assert len(checkpoint["rng_states"]) == 2
