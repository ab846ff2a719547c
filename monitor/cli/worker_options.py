"""Options that say where the records of an archive are worked on."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.offline.dask_cluster import LOCAL, prepare_cluster, require_dask
from monitor.offline.worker_processes import prepare_workers
from monitor.offline.workers import Shard, Workers, parse_shard

SEGMENTS_BESIDE = "monitor.offline.record_segmenter"

Jobs = Annotated[
    int | None,
    typer.Option(metavar="N", help="Processes to use. Default: one for each processor core."),
]
Dask = Annotated[
    str | None,
    typer.Option(
        "--dask",
        metavar="ADDRESS",
        help="Do it on a Dask cluster: the scheduler's address (tcp://HOST:8786) or file, or "
        "`local`.",
    ),
]
ShardText = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="K/N",
        help="Only the K-th of N parts of the records: for job arrays, a part a job.",
    ),
]


def workers_for(
    module: str, jobs: int | None, dask: str | None, *, one_record: bool = False
) -> Workers:
    """Return where a module's tasks are to be done; processes of this machine begin to start.

    Where Dask is missing, InvalidOption says so.

    One record is judged in this process, and segmented in one beside it that needs no more.
    """
    workers = Workers(jobs, dask)
    if dask is None:
        prepare_workers(SEGMENTS_BESIDE if one_record else module, jobs)
    else:
        require_dask()
        if dask == LOCAL:
            prepare_cluster(module)
    return workers


def part_asked_for(shard: str | None) -> Shard | None:
    """Return which part of the records was asked for; none is all."""
    return None if shard is None else parse_shard(shard)
