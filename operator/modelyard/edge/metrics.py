"""Metrics for Prometheus; their names and labels are part of the product and are listed in the chart's dashboard."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping

import prometheus_client
from prometheus_client import core, registry

REGISTRY = prometheus_client.CollectorRegistry()
prometheus_client.ProcessCollector(registry=REGISTRY)

RECONCILES = prometheus_client.Counter(
    "modelyard_reconcile_total", "Decisions, by sort of key and how they ended.", ["sort", "outcome"], registry=REGISTRY
)
RECONCILE_SECONDS = prometheus_client.Histogram(
    "modelyard_reconcile_seconds",
    "Time that one key took, in seconds.",
    ["sort"],
    registry=REGISTRY,
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60, 600),
)
VERIFIED_BYTES = prometheus_client.Counter("modelyard_verified_bytes_total", "Artifact bytes that were read and hashed.", registry=REGISTRY)
EVENTS = prometheus_client.Counter("modelyard_events_total", "What happened, by kind and reason.", ["kind", "reason"], registry=REGISTRY)
EVENTS_LOST = prometheus_client.Counter("modelyard_events_lost_total", "Events that could not be posted.", registry=REGISTRY)
API_CALLS = prometheus_client.Counter(
    "modelyard_api_requests_total",
    "Requests to the API server, the informer's watches not among them.",
    ["method", "status"],
    registry=REGISTRY,
)
LAST_NEWS = prometheus_client.Gauge(
    "modelyard_last_watch_activity_timestamp_seconds", "When the informer last heard anything.", registry=REGISTRY
)
LEADING = prometheus_client.Gauge("modelyard_leading", "1 in the replica that leads, 0 in those that stand by.", registry=REGISTRY)


POLICIES_MISSING = prometheus_client.Gauge(
    "modelyard_policies_missing", "Admission policies that let a forbidden write pass when they were last tried.", registry=REGISTRY
)


class Phases(registry.Collector):
    """Gauges of objects by phase and of queue lengths, counted at each scrape."""

    def __init__(self, phases: Callable[[], Mapping[str, Mapping[str, int]]], queues: Callable[[], Mapping[str, int]]) -> None:
        self._phases = phases
        self._queues = queues

    def collect(self) -> Iterator[core.Metric]:
        """Yield the current gauges."""
        objects = core.GaugeMetricFamily("modelyard_objects", "Objects by kind and phase.", labels=["kind", "phase"])
        for kind, phases in self._phases().items():
            for phase, count in phases.items():
                objects.add_metric([kind, phase], count)
        yield objects
        depth = core.GaugeMetricFamily("modelyard_queue_depth", "Keys that wait for a worker or have one.", labels=["sort"])
        for sort, length in self._queues().items():
            depth.add_metric([sort], length)
        yield depth


@contextlib.contextmanager
def timed(sort: str) -> Iterator[None]:
    """Count and time one reconcile."""
    began = time.monotonic()
    outcome = "error"
    try:
        yield
        outcome = "done"
    finally:
        RECONCILES.labels(sort, outcome).inc()
        RECONCILE_SECONDS.labels(sort).observe(time.monotonic() - began)


def page() -> bytes:
    """Return the exposition page."""
    return prometheus_client.generate_latest(REGISTRY)
