"""What Celery's workers are made of: `celery -A bench.celery_app worker`. The socket of Redis stands in BENCH_REDIS."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery

from bench.system import Data

_REDIS = f"redis+socket://{os.environ['BENCH_REDIS']}"
_SERIALIZER = os.environ["BENCH_SERIALIZER"]  # json, or pickle: JSON carries no arrays

app = Celery("bench", broker=_REDIS, backend=_REDIS)
app.conf.update(
    accept_content=[_SERIALIZER],
    broker_connection_retry_on_startup=True,
    result_serializer=_SERIALIZER,
    task_serializer=_SERIALIZER,
    worker_prefetch_multiplier=100,  # as its manual advises for tasks that take no time
)


@app.task  # type: ignore[untyped-decorator]  # Celery has no types
def add(given: Data) -> Data:
    """The task."""
    return {"sum": given["a"] + given["b"]}


@app.task  # type: ignore[untyped-decorator]  # Celery has no types
def same(content: Any) -> Any:
    """Give it back."""
    return content
