"""`run --dask` with a real scheduler and two real workers on loopback, each a process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty import FAULTY
from records import same

from lossparity import adapters, cli
from lossparity.conformance.execution import cluster
from lossparity.conformance.execution.cluster import ClusterError, run_on
from lossparity.conformance.execution.recording import Part, PartsError
from lossparity.conformance.execution.run import exit_code, run
from lossparity.conformance.matrix import Selection
from lossparity.conformance.record import Check

distributed = pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="processes are killed by group"),
    pytest.mark.skipif(adapters.BACKENDS["sklearn"].missing() is not None, reason="scikit-learn is not installed"),
]

MSE = Selection(losses=("mse_loss",))
SEVERAL = Selection(losses=("mse_loss", "l1_loss", "log_loss", "hinge_loss", "huber_loss", "squared_hinge"))
MODULES = "{each.partition('.')[0] for each in __import__('sys').modules}"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Any]:
    """Starts processes that say where they are, in a group of each; ends what the test has left of them."""
    running: list[subprocess.Popen[str]] = []
    log = (tmp_path / "log").open("w")

    def start(*words: str, **surroundings: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=tmp_path,
            env={**os.environ, **surroundings},
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    log.close()


@pytest.fixture
def scheduler(started: Any, tmp_path: Path) -> str:
    """The address of a scheduler without workers."""
    file = tmp_path / "scheduler.json"
    started(
        "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
        "--no-jupyter", "--scheduler-file", str(file),
    )  # fmt: skip
    with distributed.Client(scheduler_file=str(file), timeout=60, set_as_default=False) as client:
        return str(client.scheduler.address)


@pytest.fixture
def workers(started: Any, scheduler: str) -> list[subprocess.Popen[str]]:
    """Two workers of one thread each, with a nanny each."""
    return two_workers(started, scheduler)


def two_workers(started: Any, scheduler: str, **surroundings: str) -> list[subprocess.Popen[str]]:
    words = ("distributed.cli.dask_worker", scheduler, "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1")
    found = [started(*words, "--name", f"w{i}", **surroundings) for i in range(2)]
    with distributed.Client(scheduler, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=120)
    return found


def test_a_worker_that_is_killed_loses_nothing(scheduler: str, workers: list[subprocess.Popen[str]]) -> None:
    """The record of the cluster is that of one machine, also where a worker dies in the middle."""
    killed: list[str] = []
    with distributed.Client(scheduler, set_as_default=False) as client:

        def kill(_backend: str, done: int, _planned: int, _status: str) -> None:
            if done and not killed:
                busy = {where: tasks for where, tasks in client.processing().items() if tasks}
                where = next(iter(busy))
                name = client.scheduler_info()["workers"][where]["name"]
                killed.append(where)
                os.killpg(workers[int(name[1:])].pid, signal.SIGKILL)

        found = run_on(scheduler, ["sklearn"], SEVERAL, progress=kill)
        left = client.run(eval, MODULES)
        nannies = client.run(eval, MODULES, nanny=True)
    assert killed
    assert killed[0] not in left
    assert len(left) == 1
    assert not {"sklearn", "torch", "tensorflow", "keras", "scipy"} & set().union(*left.values(), *nannies.values())
    assert exit_code(found) == 0
    assert same(found) == same(run(["sklearn"], SEVERAL, jobs=1))


def test_a_check_that_kills_its_process_costs_itself_alone(started: Any, scheduler: str, tmp_path: Path) -> None:
    """The worker goes on: what died is the process that it started."""
    whole = run(["sklearn"], MSE)
    poisoned = whole.checks[2]
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'lossparity.conformance.execution.worker' in ' '.join(sys.orig_argv):\n    "
        + FAULTY.format(when=f"check.id == {poisoned.id!r}", what="os._exit(7)").strip().replace("\n", "\n    ")
        + "\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    two_workers(started, scheduler, PYTHONPATH=path)
    found = run_on(scheduler, ["sklearn"], MSE)
    assert found.checks[2].verdict == "crashed"
    assert "its process ended with exit code 7" in found.checks[2].reason
    assert same(found, but=[2]) == same(whole, but=[2])
    assert exit_code(found) == 3


def test_a_cluster_that_dies_is_a_gap_with_its_reason(
    started: Any, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All workers go, and none comes back."""
    both = two_workers(started, scheduler)

    def kill(_backend: str, done: int, _planned: int, _status: str) -> None:
        if done:
            for process in both:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    monkeypatch.setattr(cluster, "_DESERTED", 5.0)
    found = run_on(scheduler, ["sklearn"], SEVERAL, progress=kill)
    first, *rest = found.checks
    assert (first.id, first.verdict) == ("*/sklearn", "crashed")
    assert f"the cluster at {scheduler} has had no worker for 5 s" in first.reason
    assert rest
    assert {check.verdict for check in rest} <= {"match", "dialect", "lossy", "known", "unsupported"}
    assert exit_code(found) == 3


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("tcp://127.0.0.1:1", "no dask scheduler at tcp://127.0.0.1:1: "),
        ("nonsense", "no dask scheduler at nonsense: "),
        ("gopher://127.0.0.1:1", "no dask scheduler at gopher://127.0.0.1:1: "),
        ("", "no dask scheduler at : "),
    ],
)
def test_a_bad_address_is_a_sentence(
    address: str, says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "_CONNECTING", 1.0)
    assert cli.main(["run", "--dask", address, "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert "such as tcp://10.0.0.1:8786" in said


def test_no_dask_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert cli.main(["run", "--dask", "tcp://127.0.0.1:1", "-o", str(tmp_path / "out")]) == 2
    assert "python -m pip install 'lossparity[dask]'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--jobs", "2"], ["--shard", "1/2"], ["--python", f"sklearn={sys.executable}"]])
def test_what_the_cluster_decides_is_not_given_as_well(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "--dask", "tcp://127.0.0.1:1", *words, "-o", str(tmp_path / "out")]) == 2
    assert f"--dask and {words[0]} do not go together" in capsys.readouterr().err


def test_no_workers_is_a_sentence(
    scheduler: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "_CONNECTING", 1.0)
    assert cli.main(["run", "--dask", scheduler, "-o", str(tmp_path / "out")]) == 3
    assert f"has no workers: start some with `dask worker {scheduler}`" in capsys.readouterr().err


def test_other_versions_are_sentences(
    started: Any, scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of lossparity between client and workers, of a framework between workers; sources that say they are alike."""
    words = ("distributed.cli.dask_worker", scheduler, "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1")

    def claims(name: str, version: str) -> str:
        folder = tmp_path / f"{name}-{version}"
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH", "")])])

    with distributed.Client(scheduler, set_as_default=False) as client:
        first = started(*words)
        client.wait_for_workers(1, timeout=120)
        with monkeypatch.context() as patched:
            patched.setattr(cluster, "sources", lambda: "other")
            with pytest.raises(ClusterError, match="is made of other sources than the one here: install"):
                run_on(scheduler, ["sklearn"], MSE)
        second = started(*words, PYTHONPATH=claims("scikit-learn", "0.1"))
        client.wait_for_workers(2, timeout=120)
        with pytest.raises(ClusterError, match=r"scikit-learn is .* on the worker .*: give all workers the same"):
            run_on(scheduler, ["sklearn"], MSE)
        for process in (first, second):
            os.killpg(process.pid, signal.SIGKILL)
        while client.nthreads():
            pass
        started(*words, PYTHONPATH=claims("lossparity", "0.0.1"))
        client.wait_for_workers(1, timeout=120)
        with pytest.raises(ClusterError, match=r"lossparity is .* here and 0\.0\.1 on the worker .*: install the same"):
            run_on(scheduler, ["sklearn"], MSE)


# --- shards put together


def part(positions: list[int], **rest: Any) -> Part:
    checks = {
        i: Check(f"c{i}", "mse_loss", "b", "f", f"case{i}", "float64", "cpu", "eager", "value") for i in positions
    }
    decided = {i: dataclasses.replace(check, verdict="match") for i, check in checks.items()}
    environment = {"python": "3", "packages": {"b": "1"}, "devices": ["cpu"]}
    return Part("b", True, **{"environment": environment, "plan": checks, "of": 4, "decided": decided, **rest})


def test_shards_of_a_backend_are_put_together_in_the_order_of_the_plan() -> None:
    whole = Part.of_shards([part([1, 2], warnings={"k": ["y"]}), part([0, 3], warnings={"k": ["x"]})])
    assert [check.id for check in whole.checks()] == ["c0", "c1", "c2", "c3"]
    assert "part" not in whole.summary()
    assert whole.warnings == {"k": ["y", "x"]}


def test_a_shard_that_nobody_knows_is_told() -> None:
    lost = Part("b", True, status="crashed", reason="gone")
    whole = Part.of_shards([part([0, 3]), lost])
    assert [(check.id, check.verdict) for check in whole.checks()] == [
        ("*/b", "crashed"),
        ("c0", "match"),
        ("c3", "match"),
    ]
    assert whole.summary()["part"] == {"of": 4, "ranges": [[0, 1], [3, 4]]}
    assert [check.verdict for check in Part.of_shards([lost, lost]).checks()] == ["crashed"]


def test_shards_that_are_no_whole_are_refused() -> None:
    other = {"python": "3", "packages": {"b": "2"}, "devices": ["cpu"]}
    on = {"python": "3", "packages": {"b": "1"}, "devices": ["cpu"], "engine": "jax"}
    with pytest.raises(PartsError, match=r"b ran with {'b': '1'} and with {'b': '2'}"):
        Part.of_shards([part([0]), part([1], environment=other)])
    with pytest.raises(PartsError, match="b ran with jax and with None"):
        Part.of_shards([part([0], environment=on), part([1])])
    with pytest.raises(PartsError, match="the plan of b has 4 checks and 5"):
        Part.of_shards([part([0]), part([1], of=5)])
