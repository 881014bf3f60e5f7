"""Owns quantities, their canonical units and conversion into them. A quantity's name ends in its unit."""

from __future__ import annotations

from dataclasses import dataclass

from recloser.core.errors import InvalidInput, unknown_name

LOAD = "load_mw"
TEMPERATURE = "temperature_c"
INCUMBENT = "incumbent_mw"


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as an affine map onto the canonical unit of its dimension: canonical = factor * x + offset."""

    dimension: str
    factor: float
    offset: float = 0.0


UNITS: dict[str, Unit] = {
    "W": Unit("power", 1e-6),
    "kW": Unit("power", 1e-3),
    "MW": Unit("power", 1.0),
    "GW": Unit("power", 1e3),
    "degC": Unit("temperature", 1.0),
    "degF": Unit("temperature", 5.0 / 9.0, -160.0 / 9.0),
    "K": Unit("temperature", 1.0, -273.15),
    "m/s": Unit("speed", 1.0),
    "km/h": Unit("speed", 1.0 / 3.6),
    "W/m2": Unit("irradiance", 1.0),
    "Hz": Unit("frequency", 1.0),
    "mHz": Unit("frequency", 1e-3),
    "V": Unit("voltage", 1e-3),
    "kV": Unit("voltage", 1.0),
    "%": Unit("share", 1e-2),
    "pu": Unit("share", 1.0),
    "1": Unit("number", 1.0),
}

SUFFIXES: dict[str, str] = {
    "_mw": "power",
    "_c": "temperature",
    "_m_s": "speed",
    "_w_m2": "irradiance",
    "_hz": "frequency",
    "_kv": "voltage",
    "_pu": "share",
    "_n": "number",
}


def dimension_of(quantity: str) -> str:
    """Return the dimension that a quantity's suffix names, e.g. 'power' for 'load_mw'.

    Raises:
        InvalidInput: the name carries no known unit suffix.
    """
    for suffix, dimension in SUFFIXES.items():
        if quantity.endswith(suffix):
            return dimension
    raise InvalidInput(
        "a quantity's name must end in its unit",
        got=quantity,
        expected="a suffix out of " + ", ".join(SUFFIXES),
        next_step="Rename it, for example 'load_mw' or 'temperature_c'.",
    )


def unit_named(name: str, where: str | None = None) -> Unit:
    """Return the unit of that name; case must match except where it cannot be confused.

    Raises:
        InvalidInput: the unit is unknown; the nearest known one is named.
    """
    if name in UNITS:
        return UNITS[name]
    aliases = {
        "c": "degC",
        "°c": "degC",
        "celsius": "degC",
        "f": "degF",
        "°f": "degF",
        "fahrenheit": "degF",
        "kelvin": "K",
    }
    alias = aliases.get(name.lower())
    if alias is not None:
        return UNITS[alias]
    if name.lower().endswith("wh"):
        raise InvalidInput(
            "an energy where a power is wanted",
            got=name,
            expected="one of W, kW, MW, GW: the mean power of the interval",
            where=where,
            next_step="Divide by the interval's hours (MWh per half hour x 2 = MW); if they are powers, say 'MW'.",
        )
    raise unknown_name("unit", name, UNITS, where)


def conversion(quantity: str, unit: str, where: str | None = None) -> Unit:
    """Return the affine map from `unit` to the canonical unit of `quantity`.

    Raises:
        InvalidInput: unknown unit, or a unit of another dimension.
    """
    known = unit_named(unit, where)
    dimension = dimension_of(quantity)
    if known.dimension != dimension:
        raise InvalidInput(
            f"a {known.dimension} unit for {quantity}",
            got=unit,
            expected="a unit of "
            + dimension
            + ": "
            + ", ".join(n for n, u in UNITS.items() if u.dimension == dimension),
            where=where,
        )
    return known
