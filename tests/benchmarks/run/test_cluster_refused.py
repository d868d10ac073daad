"""``--ray`` where there is no Ray, or no cluster."""

import os
import socket
import sys

import pytest

from benchmarks.protocols import PROTOCOLS
from benchmarks.run import cluster, command
from benchmarks.run.lock import Holder
from benchmarks.run.plan import Options, Run
from benchmarks.variants import Variant


@pytest.fixture
def refused(tmp_path, capsys):
    """``refused(*arguments)``: what a command says that exits with 2."""

    def run(*arguments):
        with pytest.raises(SystemExit) as stop:
            command.main(["--results", str(tmp_path / "results"), *arguments])
        assert stop.value.code == 2
        return capsys.readouterr().err

    return run


def test_without_ray_a_message_says_how_to_install_it(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    error = refused("--ray", "auto")
    assert error == (
        'benchmarks.run: Ray is not installed: pip install "gan-lightning[ray]", on all nodes\n'
    )


@pytest.mark.parametrize("option", ["--parallel", "--per-gpu"])
def test_options_of_one_machine_are_refused_with_ray(refused, option):
    message = "--parallel and --per-gpu are for one machine"
    assert message in refused("--ray", "auto", option, "2")


@pytest.mark.parametrize("address", ["local", "ray://head:10001", "head", "head:", ":6379"])
def test_an_address_must_have_a_host_and_a_port(refused, address):
    pytest.importorskip("ray", reason="NOT TESTED: Ray is not installed")
    assert f'--ray takes "auto" or HOST:PORT, not {address}' in refused("--ray", address)


def test_an_address_where_nothing_listens_is_refused_at_once(refused):
    pytest.importorskip("ray", reason="NOT TESTED: Ray is not installed")
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
    assert f"there is no Ray cluster at {host}:{port}: " in refused("--ray", f"{host}:{port}")


def test_all_that_ray_says_is_said(monkeypatch):
    ray = pytest.importorskip("ray", reason="NOT TESTED: Ray is not installed")

    def refuse(*args, runtime_env, **kwargs):
        assert runtime_env["env_vars"]["PYTHONPATH"].split(os.pathsep)[1:] == [os.path.abspath("x")]
        raise RuntimeError("Version mismatch: started with:\n Ray: 2.54")

    monkeypatch.setenv("PYTHONPATH", "x")
    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(cluster.ClusterError, match=r"cannot connect .*: Version .* Ray: 2\.54"):
        cluster._connect(ray, "auto")


def test_a_node_with_its_own_folder_of_results_is_refused(tmp_path):
    run, options = Run(PROTOCOLS["digits"], Variant("dcgan"), 0), Options(tmp_path, tmp_path)
    holder = Holder("head", 7, "2026-11-26T10:00:00+00:00", "--ray auto")
    with pytest.raises(cluster.ClusterError, match="is not the folder on head: it must be on sh"):
        cluster._train_on_node(run, options, None, holder, None)
