"""Metrics over HTTP for Prometheus, of the process that counts. Extra `[metrics]`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

from monitor.delivery.metrics import PREFIX, SCORES, Declared, Histogram, Value
from monitor.errors import EndpointInUse, InvalidOption

if TYPE_CHECKING:
    from prometheus_client.core import Metric

LOOPBACK = "127.0.0.1"
BOUNDS = (*(f"{bound:g}" for bound in SCORES), "+Inf")


def parse_metrics(text: str) -> tuple[str, int]:
    """Return host and port of `--metrics`; a port alone is one of this machine's own.

    Raises
    ------
    InvalidOption
        If it is none.

    Examples
    --------
    >>> parse_metrics("9464"), parse_metrics("0.0.0.0:9464")
    (('127.0.0.1', 9464), ('0.0.0.0', 9464))
    """
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise InvalidOption(
            f"--metrics {text[:60]!r} is no port; give one, such as 9464, or HOST:PORT to let "
            "other machines read"
        )
    return host or LOOPBACK, int(port)


def require_prometheus() -> None:
    """Raise InvalidOption where the extra is missing."""
    try:
        import prometheus_client  # noqa: F401
    except ImportError as error:
        raise InvalidOption(
            "--metrics needs prometheus-client; install it: pip install 'ecg-monitor[metrics]'"
        ) from error


class Counted(Protocol):
    """What counts itself: a monitor's `Metrics`, a subscriber's `Delivery`."""

    def values(self) -> Iterator[tuple[Declared, Sequence[Value] | Histogram]]:
        """Yield each metric with its values now."""
        ...


class _Exporter:
    """What the HTTP thread asks for values; it reads counts that another thread changes."""

    def __init__(self, metrics: Counted) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics as they are now."""
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        for declared, values in self._metrics.values():
            name = PREFIX + declared.name
            if isinstance(values, Histogram):
                buckets = list(zip(BOUNDS, map(float, values.counts), strict=True))
                yield HistogramMetricFamily(name, declared.help, buckets, values.total)
                continue
            family = GaugeMetricFamily if declared.type == "gauge" else CounterMetricFamily
            metric = family(name, declared.help, labels=declared.labels)
            for one in values:
                metric.add_metric(one.labels, one.value)
            yield metric


@contextmanager
def served(metrics: Counted, at: str) -> Iterator[None]:
    """Let Prometheus read the metrics while the block lasts.

    Raises
    ------
    EndpointInUse
        If another program has the port.
    InvalidOption
        If the address is none of this machine's, or prometheus-client is missing.
    """
    host, port = parse_metrics(at)
    require_prometheus()
    from prometheus_client import make_wsgi_app
    from prometheus_client.registry import CollectorRegistry

    from monitor.delivery.metrics_connections import listening

    registry = CollectorRegistry()
    registry.register(_Exporter(metrics))
    with ExitStack() as stack:
        try:
            stack.enter_context(listening(host, port, make_wsgi_app(registry)))
        except OSError as error:
            if error.errno is not None and "in use" in (error.strerror or ""):
                raise EndpointInUse(
                    f"--metrics {at}: port {port} is in use by another process; give another"
                ) from error
            raise InvalidOption(f"--metrics {at}: {error.strerror or error}") from error
        yield
