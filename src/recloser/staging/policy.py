"""Owns the gate's thresholds with safe defaults. Shares are 0..1, coverage is percent, loss margins are relative."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from recloser.core import STANDARD_CONTRACT, TEMPERATURE, InvalidInput

_WEATHER = STANDARD_CONTRACT.of(TEMPERATURE)


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """What a candidate must prove.

    Attributes:
        margin: how much worse than the champion its mean loss may be (of the champion's loss).
        uncertainty: how far beyond the margin the upper bound of the comparison with the champion may lie: what a
            few weeks of hold-out cannot settle, shadow and canary do, with both models on every request.
        worth_margin: how much better than the champion, by the mean, a candidate must be whose run only a schedule or a
            signal asked for (of the champion's loss); else it is refused as not worth a rollout.
        naive_margin: how much better than the seasonal naive it must be at least (of the naive's loss).
        incumbent_margin: how much worse than the operator's own forecast its absolute error may be.
        incumbent_required: refuse on the incumbent margin; otherwise it is advice.
        slice_margin: how much worse it may be in one season, block of hours, kind of day or area.
        metric_margin: how much worse than the champion rMAE, rCRPS and peak error may certainly be.
        bias_margin: how much larger the bias may certainly be, as a share of the champion's mean absolute error.
        coverage_margin: how much farther from 80 % the band's coverage may certainly lie, in points.
        recent_days, recent_margin: newest days that are compared alone, and how much worse they may certainly be.
        minimum_days: hold-out days below which nothing is decided.
        slice_minimum_days: days below which a slice is not judged.
        confidence: of the one-sided bounds.
        bootstrap_block_days, bootstrap_draws, seed: moving-block bootstrap of daily differences.
        minimum_coverage80, maximum_coverage80: percent of truths inside the 80 % band.
        training_days: days of training data below which nothing is decided.
        max_missing_share: of load or of any feature, per area.
        max_stuck_share, stuck_hours: load that stands still for so long at a time.
        max_faulty_share: rows of an area that may come from a time with a known data fault.
        max_scale_ratio: |load| and |forecast| over the recent level of the area.
        max_out_of_range_share: rows beyond that.
        unit_ratio: jump between levels within an area that only a unit mistake explains.
        max_unit_share: rows on the wrong side of such a jump.
        min_temperature_c, max_temperature_c, max_bad_temperature_share: plausible weather.
        min_step_correlation: correlation of neighbouring intervals below which a load is scrambled.
        min_day_correlation: correlation at one day and one week below which it is, if the recent load has them.
        shift_gain, shift_match: how much better, and how well, a profile must fit when shifted to be called shifted.
        max_shifted_share, max_shifted_area_share: shifted fortnights of all areas, and of one.
        max_affected_areas: share of areas that may lie beyond the latter: one odd feeder does not stop a fleet.
        max_jump_ratio, max_jump_share: steps between intervals over the recent level.
        max_ramp_ratio: the same of a forecast.
        max_beyond_share: answers of an area that may lie beyond what its asset can do: the guard turns those away.
        max_weather_change: how far the median may move in extreme weather, over the recent level.
        latency_p50_ms, latency_p99_ms: service level of one request.
        sla_p50_ms, sla_p99_ms, sla_p999_ms: service level of the gateway under load, from the meant departure.
        sla_error_share: share of requests without a good answer.
        sla_start_s, sla_memory_mb: start of the gateway to its first answer; its largest memory.
        network_missed_margin, network_vain_margin: intervals in which the network decision may be wrong more often than
            by the reference, as a share: violations that are missed, action that is not needed.
        required_metrics: that must be there and finite.
    """

    margin: float = 0.02
    uncertainty: float = 0.10
    worth_margin: float = 0.0
    naive_margin: float = 0.0
    incumbent_margin: float = 0.25
    incumbent_required: bool = False
    slice_margin: float = 0.25
    metric_margin: float = 0.10
    bias_margin: float = 0.25
    coverage_margin: float = 15.0
    recent_days: int = 14
    recent_margin: float = 0.15
    minimum_days: int = 14
    slice_minimum_days: int = 7
    confidence: float = 0.95
    bootstrap_block_days: int = 7
    bootstrap_draws: int = 2000
    seed: int = 20260101
    minimum_coverage80: float = 65.0
    maximum_coverage80: float = 99.0
    training_days: int = 28
    max_missing_share: float = 0.3
    max_stuck_share: float = 0.02
    stuck_hours: float = 6.0
    max_faulty_share: float = 0.01
    max_scale_ratio: float = 8.0
    max_out_of_range_share: float = 0.001
    unit_ratio: float = 30.0
    max_unit_share: float = 0.001
    min_temperature_c: float = _WEATHER.lowest or -50.0
    max_temperature_c: float = _WEATHER.highest or 50.0
    max_bad_temperature_share: float = 0.005
    min_step_correlation: float = 0.5
    min_day_correlation: float = 0.3
    shift_gain: float = 0.7
    shift_match: float = 0.15
    max_shifted_share: float = 0.05
    max_shifted_area_share: float = 0.25
    max_affected_areas: float = 0.1
    max_jump_ratio: float = 1.5
    max_jump_share: float = 0.01
    max_ramp_ratio: float = 1.5
    max_beyond_share: float = 0.01
    max_weather_change: float = 2.0
    latency_p50_ms: float = 500.0
    latency_p99_ms: float = 1000.0
    sla_p50_ms: float = 250.0
    sla_p99_ms: float = 1000.0
    sla_p999_ms: float = 3000.0
    sla_error_share: float = 0.001
    sla_start_s: float = 60.0
    sla_memory_mb: float = 2048.0
    network_missed_margin: float = 0.1
    network_vain_margin: float = 0.3
    required_metrics: tuple[str, ...] = ("wmape", "bias_pct", "rmae", "rcrps", "coverage80")

    def __post_init__(self) -> None:
        if not 0.5 < self.confidence < 1 or self.bootstrap_draws < 100 or self.bootstrap_block_days < 1:
            raise InvalidInput("a gate policy that can decide nothing", where="GatePolicy", got=self.confidence)
        if self.minimum_days < self.bootstrap_block_days:
            raise InvalidInput(
                "fewer hold-out days than one bootstrap block",
                got=self.minimum_days,
                expected=f">= {self.bootstrap_block_days}",
                where="GatePolicy.minimum_days",
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready form."""
        return asdict(self)
