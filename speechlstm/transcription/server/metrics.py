"""The server's metrics, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """Counts of one server.

    Args:
        waiting: returns how many recordings wait or are in work.

    Attributes:
        requests: transcriptions by status.
        seconds: from the end of an upload to its answer.
        audio: seconds of audio transcribed.
        batches: recordings, or windows of long ones, recognized together.
        live: open live connections.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        registry = self._registry = CollectorRegistry()
        self.requests = Counter(
            "speechlstm_requests", "Transcriptions by HTTP status", ["status"], registry=registry
        )
        self.seconds = Histogram(
            "speechlstm_request_seconds", "From the end of an upload to its answer", registry=registry,
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
        )  # fmt: skip
        self.audio = Counter("speechlstm_audio_seconds", "Seconds of audio transcribed", registry=registry)
        self.batches = Histogram(
            "speechlstm_batch_size", "Recordings, or windows of long ones, recognized together", registry=registry,
            buckets=(1, 2, 4, 8, 16, 32, 64),
        )  # fmt: skip
        queue = Gauge("speechlstm_queue_length", "Recordings that wait or are in work", registry=registry)
        queue.set_function(waiting)
        self.live = Gauge("speechlstm_live_connections", "Open live connections", registry=registry)

    def answered(self, begin: float, audio_seconds: float) -> None:
        """Count a transcription that began at a time of `time.perf_counter`."""
        self.seconds.observe(time.perf_counter() - begin)
        self.audio.inc(audio_seconds)

    def text(self) -> bytes:
        """Return all counts in Prometheus' format."""
        return bytes(generate_latest(self._registry))
