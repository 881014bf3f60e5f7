"""Owns the gateway's metrics: which there are, and the counting of HTTP requests. Does not scrape or alert."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter

from recloser.serving.gateway import Gateway
from recloser.serving.log import AnswerLog
from recloser.serving.route import chosen_for_canary
from recloser.serving.wire.figures import Family, Figures, Sample, family
from recloser.serving.wire.statistics import Statistics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Meter:
    """Counts HTTP requests and their durations; thread safe. Label sets are bounded by handlers, not by paths."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._buckets: dict[str, list[int]] = {}
        self._seconds: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def note(self, handler: str, method: str, status: int, seconds: float | None) -> None:
        """Count one finished request; `seconds` None keeps it out of the durations (streams)."""
        with self._lock:
            self._requests[handler, method, status] += 1
            if seconds is not None:
                counts = self._buckets.setdefault(handler, [0] * (len(BUCKETS_S) + 1))
                counts[bisect_left(BUCKETS_S, seconds)] += 1
                self._seconds[handler] += seconds  # type: ignore[assignment]  # a Counter adds floats as well

    def note_refusal(self, reason: str) -> None:
        """Count a request turned away at the gate: for its 'token', its 'rate' or the 'load'."""
        with self._lock:
            self._refused[reason] += 1

    def families(self) -> list[Family]:
        """Return the HTTP metrics."""
        with self._lock:
            requests, seconds, refused = dict(self._requests), dict(self._seconds), dict(self._refused)
            buckets = {handler: list(counts) for handler, counts in self._buckets.items()}
        return [
            family(
                "recloser_http_requests_total",
                "counter",
                "HTTP requests answered.",
                (({"handler": h, "method": m, "status": str(s)}, n) for (h, m, s), n in sorted(requests.items())),
            ),
            family(
                "recloser_http_refused_total",
                "counter",
                "Requests turned away at the gate.",
                (({"reason": reason}, count) for reason, count in sorted(refused.items())),
            ),
            _durations(buckets, seconds),
        ]


def _durations(buckets: dict[str, list[int]], seconds: dict[str, int]) -> Family:
    samples = []
    for handler, counts in sorted(buckets.items()):
        total = 0
        for bound, count in zip([*map(str, BUCKETS_S), "+Inf"], counts, strict=True):
            total += count
            samples.append(Sample({"handler": handler, "le": bound}, total, "_bucket"))
        samples.append(Sample({"handler": handler}, seconds[handler], "_sum"))
        samples.append(Sample({"handler": handler}, total, "_count"))
    text = "Time from request to last byte of the answer."
    return Family("recloser_http_request_seconds", "histogram", text, samples)


def gateway_families(gateway: Gateway) -> list[Family]:
    """Return the gateway's counts and route."""
    counts, route, areas = sorted(gateway.counts().items()), gateway.route, gateway.limits
    # pilot areas count whatever share of the others is drawn beside them
    share = sum(chosen_for_canary(route, area) for area in areas) / len(areas) if areas else route.share
    answers = [({"served_by": kind, "release": r}, n) for (family, kind, r), n in counts if family == "answers"]
    incidents = [({"kind": kind, "release": r}, n) for (family, kind, r), n in counts if family == "incidents"]
    tripped = [({"release": name}, int(name in gateway.tripped)) for name in route.challengers()]
    return [
        family("recloser_answers_total", "counter", "Answers per area, by who gave them.", answers),
        family("recloser_incidents_total", "counter", "What the guard held back, by kind and model.", incidents),
        family("recloser_route_epoch", "gauge", "Epoch of the route in force.", [({}, route.epoch)]),
        family("recloser_route_canary_share", "gauge", "Share of the areas meant for the canary.", [({}, share)]),
        family("recloser_challenger_tripped", "gauge", "1 if the gateway has cut the challenger off.", tripped),
    ]


def log_families(log: AnswerLog | None) -> list[Family]:
    """Return how the prediction log does; none without a log."""
    if log is None:
        return []
    status = log.status()
    outcomes = [({"outcome": "written"}, status.written), ({"outcome": "dropped"}, status.dropped)]
    stalled = int(status.state == "stalled")
    return [
        family("recloser_log_records_total", "counter", "Answers logged, and answers dropped unlogged.", outcomes),
        family("recloser_log_gaps_total", "counter", "Times that dropping began.", [({}, status.gaps)]),
        family("recloser_log_syncs_total", "counter", "Groups of records made durable.", [({}, status.syncs)]),
        family("recloser_log_stalled", "gauge", "1 while the disk takes no records: alarm.", [({}, stalled)]),
        family("recloser_log_waiting_bytes", "gauge", "What waits to be written.", [({}, status.waiting_bytes)]),
        family("recloser_log_damaged", "gauge", "Damaged places found at the start.", [({}, status.damaged)]),
    ]


def inference_families(statistics: Statistics) -> list[Family]:
    """Return the counts of inference, over every transport."""
    models = statistics.counts()
    requests = [
        ({"model": model, "outcome": outcome}, counts.get(f"{outcome}.count", 0))
        for model, counts in models.items()
        for outcome in ("success", "fail")
    ]
    rows = [({"model": model}, counts.get("rows", 0)) for model, counts in models.items()]
    seconds = [
        ({"model": model, "phase": phase}, counts.get(f"{phase}.ns", 0) / 1e9)
        for model, counts in models.items()
        for phase in ("compute_input", "compute_infer", "compute_output")
    ]
    return [
        family("recloser_inference_requests_total", "counter", "Inference requests by model, HTTP and gRPC.", requests),
        family("recloser_inference_rows_total", "counter", "Rows answered by model.", rows),
        family("recloser_inference_seconds_total", "counter", "Time in each phase of inference.", seconds),
    ]


def figures_of(gateway: Gateway, meter: Meter, statistics: Statistics, log: AnswerLog | None = None) -> Figures:
    """Return all figures of this process."""
    families = [
        *gateway_families(gateway),
        *inference_families(statistics),
        *log_families(log),
        *meter.families(),
    ]
    return Figures(families, statistics.snapshot())
