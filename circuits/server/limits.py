"""What a request may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a request may take; more is refused, or left out and told.

    Attributes:
        body: bytes of a request.
        result: bytes of a result.
        rows: rows of a table at once.
        nodes: nodes of a document at once.
        tokens: tokens written after a prompt.
        seconds: until a question, a query or an intervention is given up.
        load: seconds for what loads a run or a model first.
        threads: requests that compute at once; one more is kept for interventions.
        waiting: requests that wait for these.
        graphs: runs kept in memory.
        runs: runs that are listed.
        depth: folders below the served one in which runs are looked for.
        jobs: jobs that wait.
        finished: jobs remembered after their end.
        grace: seconds a job has to end by itself once it is cancelled.
    """

    body: int = 1_000_000
    result: int = 16_000_000
    rows: int = 1_000
    nodes: int = 5_000
    tokens: int = 50
    seconds: float = 30.0
    load: float = 180.0
    threads: int = 2
    waiting: int = 16
    graphs: int = 4
    runs: int = 1_000
    depth: int = 4
    jobs: int = 10
    finished: int = 50
    grace: float = 5.0
