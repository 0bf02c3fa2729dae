"""`lossparity run --dask ADDRESS`: the shards of each backend on the workers of a cluster that is there already.

A task of the cluster is one shard of one backend. The worker that gets it starts the same process for it that a run on
one machine would start, and imports no framework itself: what a check kills is that process, which starts again behind
the check. A worker that dies takes no result along but the shard it was at, which the scheduler gives to another.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import logging
import math
import platform
import queue
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import lossparity
from lossparity import adapters
from lossparity.conformance.execution.pool import DEFAULT_TIMEOUT, Progress, Task, supervise
from lossparity.conformance.execution.recording import Part, PartsError, assemble
from lossparity.conformance.execution.sources import sources
from lossparity.conformance.matrix import DEFAULT_SEED, Selection
from lossparity.conformance.record import Run

# For each thread of the cluster so many shards: a few more than one, so that all end together; each costs an import.
_SHARDS_PER_THREAD = 2
_CONNECTING = 10.0  # seconds
_LOOK = 2.0  # seconds between two looks at whether the cluster is still there
_DESERTED = 60.0  # seconds without a worker after which none is waited for; a nanny needs a few to start the next


class AddressError(ValueError):
    """There is no cluster to be had at the address, or no dask here; the message says what to do."""


class ClusterError(Exception):
    """The cluster is there and cannot do it: no workers, or not this lossparity on them."""


def run_on(
    address: str,
    backends: Sequence[str],
    selection: Selection,
    *,
    seed: int = DEFAULT_SEED,
    timeout: float = DEFAULT_TIMEOUT,
    command: Sequence[str] = (),
    progress: Progress = lambda *_: None,
) -> Run:
    """Run the matrix on the cluster whose scheduler is at `address`; the record is that of `run`.

    timeout: seconds without a sign of life after which a process of a backend is taken to hang.
    progress: called with (backend, checks done, checks planned, status), after each shard.
    AddressError, ClusterError: nothing was run.
    """
    started = datetime.datetime.now(datetime.timezone.utc)
    clock = time.perf_counter()
    names = list(backends or adapters.BACKENDS)
    with _connected(address) as client:
        threads = _ready(client, address, names, timeout)
        of = max(1, math.ceil(_SHARDS_PER_THREAD * threads / len(names)))
        shards = [(name, f"{number}/{of}") for number in range(1, of + 1) for name in names]
        futures = {
            client.submit(
                decide,
                Part(name, bool(backends)),
                dataclasses.replace(selection, shard=shard),
                seed,
                timeout,
                sources(),
                key=f"lossparity {name} {shard} {started.isoformat()}",
                pure=False,
            ): (name, shard)
            for name, shard in shards
        }
        try:
            found = _gathered(client, address, futures, bool(backends), progress)
        finally:
            with contextlib.suppress(Exception):  # the scheduler may be gone
                client.cancel(list(futures))
    try:
        parts = [Part.of_shards([found[name, shard] for each, shard in shards if each == name]) for name in names]
    except PartsError as error:
        raise ClusterError(f"the workers at {address} do not run the same: {error}") from None
    for part in parts:
        progress(part.backend, len(part.decided), len(part.plan or ()), part.status)
    return assemble(
        parts,
        selection=selection,
        seed=seed,
        command=command,
        started=started.isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - clock, 3),
    )


def decide(part: Part, selection: Selection, seed: int, timeout: float, made_of: str) -> Part:
    """What runs on a worker: one shard of one backend, in a process of its own. made_of: the client's sources."""
    if sources() != made_of:
        raise ClusterError(
            f"the lossparity {lossparity.__version__} on the worker {platform.node()} is made of other sources than "
            "the one here: install the same on both"
        )
    supervise([Task(part, selection, seed)], timeout, jobs=1, progress=lambda *_: None)
    return part


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError as error:
        raise AddressError(
            f"--dask needs dask.distributed ({error}): python -m pip install 'lossparity[dask]'"
        ) from None
    log = logging.getLogger("distributed")
    level = log.level
    log.setLevel(logging.CRITICAL)  # what it has to say is told in our words
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # versions that differ are told below
            try:
                client = Client(address, timeout=_CONNECTING, set_as_default=False, name="lossparity")
            except (OSError, ValueError, asyncio.TimeoutError) as error:
                why = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise AddressError(
                    f"no dask scheduler at {address}: {why}; give its address as `dask scheduler` prints it, such as "
                    "tcp://10.0.0.1:8786"
                ) from None
        try:
            yield client
        finally:
            with contextlib.suppress(Exception):  # the scheduler may be gone
                client.close(timeout=_CONNECTING)
    finally:
        log.setLevel(level)


def _ready(client: Any, address: str, backends: Sequence[str], timeout: float) -> int:
    """How many threads the cluster has. ClusterError where it has none, or not what is needed, the same everywhere."""
    try:
        client.wait_for_workers(1, timeout=min(timeout, _CONNECTING))
    except (OSError, asyncio.TimeoutError):
        raise ClusterError(
            f"the cluster at {address} has no workers: start some with `dask worker {address}`"
        ) from None
    wanted = dict.fromkeys(each for name in backends for each in adapters.BACKENDS[name].distributions)
    seen = client.get_versions(packages=["lossparity", *wanted])
    here = seen["client"]["packages"]
    workers: dict[str, Mapping[str, Any]] = {where: each["packages"] for where, each in seen["workers"].items()}
    for package in ("lossparity", "dask", "distributed"):
        for where, there in workers.items():
            if there[package] != here[package]:
                raise ClusterError(
                    f"{package} is {_version(here[package])} here and {_version(there[package])} on the worker {where}"
                    ": install the same on both"
                )
    (first, reference), *others = workers.items()
    for package in ("python", "numpy", *wanted):
        for where, there in others:
            if there[package] != reference[package]:
                raise ClusterError(
                    f"{package} is {_version(reference[package])} on the worker {first} and {_version(there[package])} "
                    f"on {where}: give all workers the same, or run them as clusters of their own and merge the records"
                )
    return _threads(client)


def _version(version: str | None) -> str:
    return version or "not installed"


def _gathered(
    client: Any,
    address: str,
    futures: Mapping[Any, tuple[str, str]],
    asked: bool,
    progress: Progress,
) -> dict[tuple[str, str], Part]:
    """What became of each shard, as far as the cluster tells; a shard that it cannot do is crashed, with the reason."""
    ended: queue.Queue[Any] = queue.Queue()
    for name in dict.fromkeys(name for name, _ in futures.values()):
        progress(name, 0, 0, "running")
    for future in futures:
        future.add_done_callback(ended.put)
    found: dict[tuple[str, str], Part] = {}
    heard = time.monotonic()
    while len(found) < len(futures) and time.monotonic() - heard <= _DESERTED:
        try:
            future = ended.get(timeout=_LOOK)
        except queue.Empty:
            if _threads(client):  # it works on, and each worker knows for itself what hangs there
                heard = time.monotonic()
            continue
        name, shard = futures[future]
        found[name, shard] = part = _result(future, name, shard, asked)
        decided = sum(len(each.decided) for (backend, _), each in found.items() if backend == name)
        progress(name, decided, part.of, "running")
        heard = time.monotonic()
    for name, shard in futures.values():
        if (name, shard) not in found:
            reason = f"shard {shard} was not decided: the cluster at {address} has had no worker for {_DESERTED:g} s"
            found[name, shard] = Part(name, asked, status="crashed", reason=reason)
    return found


def _threads(client: Any) -> int:
    try:
        return sum(client.nthreads().values())
    except Exception:  # the scheduler does not answer
        return 0


def _result(future: Any, name: str, shard: str, asked: bool) -> Part:
    try:
        part: Part = future.result()
    except ClusterError:
        raise
    except (
        Exception,
        asyncio.CancelledError,
    ) as error:  # of dask, of the worker's Python: whatever it is, it cost this shard alone
        reason = f"shard {shard} was not decided by the cluster: {type(error).__name__}: {error}"
        return Part(name, asked, status="crashed", reason=reason)
    return part
