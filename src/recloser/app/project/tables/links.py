"""Owns the table of the project file about live devices: `[links]`. Opens nothing it names."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from recloser.app.project.tables.section import Section
from recloser.core import InvalidInput
from recloser.core.quantities import LOAD, TEMPERATURE, dimension_of

PORTS = {"iec104": 2404, "dnp3": 20_000, "modbus": 502, "c37118": 4712, "sttp": 7165, "mqtt": 1883, "sparkplug": 1883}
TLS_PORTS = PORTS | {"iec104": 19998, "modbus": 802, "mqtt": 8883, "sparkplug": 8883}
OWN_KEYS = {
    "iec104": ("interrogate_seconds",),
    "dnp3": ("period_seconds", "integrity_seconds", "outstation", "master", "unsolicited"),
    "modbus": ("period_seconds",),
    "c37118": (
        *("idcode", "transport", "data_port", "configuration"),
        *("streams", "lag_seconds", "lead_seconds", "lag_from"),
    ),
    "sttp": ("compressed", "silence_seconds"),
    "mqtt": (
        *("client_id", "username", "password_file"),
        *("payload_value", "payload_time", "payload_time_unit", "payload_quality"),
    ),
    "sparkplug": ("client_id", "username", "password_file", "host_id", "request_rebirth"),
    "opcua": (
        *("url", "period_seconds", "security", "sign_only", "server_certificate"),
        *("username", "password_file"),
    ),
}


TransportName = Literal["tcp", "udp", "mixed", "listen"]
Idcode = Annotated[int, Field(ge=1, le=65534)]
Port = Annotated[int, Field(ge=1, le=65535)]


class StreamSection(Section):
    """One of several streams of a c37118 device: `[[links.devices.streams]]`."""

    host: str
    port: Port = 4712
    idcode: Idcode
    transport: TransportName = "tcp"
    data_port: Annotated[int, Field(ge=0, le=65535)] = 0


class DeviceSection(Section):
    """One device: `[[links.devices]]`; files are relative to the project."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
    protocol: Literal["iec104", "dnp3", "modbus", "c37118", "sttp", "mqtt", "sparkplug", "opcua"]
    points: str
    host: str | None = None
    port: Port | None = None
    url: str | None = None
    area: str | None = None
    answer_seconds: Annotated[float, Field(gt=0, le=300)] = 10.0
    period_seconds: Annotated[float, Field(gt=0, le=3600)] = 1.0
    interrogate_seconds: Annotated[float, Field(ge=0)] = 0.0
    integrity_seconds: Annotated[float, Field(ge=0)] = 3600.0
    outstation: Annotated[int, Field(ge=0, le=65519)] | None = None
    master: Annotated[int, Field(ge=0, le=65519)] = 1
    unsolicited: bool = True
    idcode: Idcode | None = None
    transport: TransportName = "tcp"
    data_port: Annotated[int, Field(ge=0, le=65535)] = 0
    configuration: Literal[2, 3] = 2
    streams: tuple[StreamSection, ...] = ()
    lag_seconds: Annotated[float, Field(gt=0, le=3600)] = 1.0
    lead_seconds: Annotated[float, Field(ge=0, le=3600)] = 1.0
    lag_from: Literal["instant", "arrival"] = "instant"
    compressed: bool = True
    silence_seconds: Annotated[float, Field(gt=0, le=3600)] = 20.0
    client_id: str | None = None
    username: str | None = None
    password_file: str | None = None
    host_id: Annotated[str, Field(pattern=r"^[^/+#]+$")] | None = None
    request_rebirth: bool = False
    payload_value: str = "value"
    payload_time: str | None = None
    payload_time_unit: Literal["iso", "s", "ms", "us", "ns"] = "iso"
    payload_quality: str | None = None
    tls_ca: str | None = None
    tls_certificate: str | None = None
    tls_key: str | None = None
    security: Literal["Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"] | None = None
    sign_only: bool = False
    server_certificate: str | None = None
    clock_ahead_seconds: Annotated[float, Field(ge=0)] = 60.0
    hour_shift_check: bool = True
    unit_check: bool = True
    cycle_check: bool = True

    @model_validator(mode="after")
    def _fits(self) -> Self:
        where = f"links.devices {self.name}"
        foreign = {key for keys in OWN_KEYS.values() for key in keys} - set(OWN_KEYS[self.protocol])
        for key in sorted(foreign & self.model_fields_set):
            raise InvalidInput(f"{key!r} means nothing to {self.protocol}", where=where, next_step="Remove it.")
        needed = {"opcua": "url", "c37118": "idcode", "dnp3": "outstation"}.get(self.protocol)
        for key in ("host",) if needed is None else ("host", needed):
            elsewhere = self.streams or (key == "host" and self.protocol == "opcua")
            if getattr(self, key) is None and not elsewhere:
                raise InvalidInput(f"a {self.protocol} device without {key}", where=where, next_step=f"Add {key!r}.")
        if self.protocol == "opcua":
            self._secured(where)
        elif (self.tls_certificate is None) != (self.tls_key is None) or (self.tls_certificate and not self.tls_ca):
            raise InvalidInput(
                "TLS needs the authority, and a certificate only with its key",
                where=where,
                next_step="Set tls_ca; with it, for mutual TLS, tls_certificate and tls_key.",
            )
        if self.tls_ca is not None and self.protocol not in TLS_PORTS:
            raise InvalidInput(f"TLS is not known for {self.protocol}", where=where, next_step="Remove tls_ca.")
        self._ways_fit(where)
        return self

    def _secured(self, where: str) -> None:
        """Check the secure channel of an opcua device: all of it or nothing."""
        wanted = (self.tls_certificate, self.tls_key, self.server_certificate)
        if self.security is None and (any(wanted) or self.sign_only or self.username is not None):
            raise InvalidInput(
                "certificates or a user without a secure channel", where=where, next_step="Add 'security'."
            )
        if self.security is not None and not all(wanted):
            raise InvalidInput(
                "a secure channel without its certificates",
                where=where,
                expected="tls_certificate, tls_key and server_certificate",
            )

    def _ways_fit(self, where: str) -> None:
        """Check how the streams of a c37118 device travel."""
        if self.streams and self.model_fields_set & {"host", "port", "idcode", "transport", "data_port"}:
            raise InvalidInput(
                "a device with streams has no address of its own",
                where=where,
                next_step="Put host, port, idcode, transport and data_port into [[links.devices.streams]].",
            )
        for way, port in [(self.transport, self.data_port), *((one.transport, one.data_port) for one in self.streams)]:
            if way in {"mixed", "listen"} and not port:
                raise InvalidInput(f"{way} without a port for the data", where=where, next_step="Add 'data_port'.")
            if way != "tcp" and self.tls_ca is not None:
                raise InvalidInput(
                    f"TLS does not protect datagrams ({way})", where=where, next_step="Use transport tcp, or a VPN."
                )

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port, the registered one where none is told."""
        known = PORTS if self.tls_ca is None else TLS_PORTS
        return self.host or "", self.port or known.get(self.protocol, 0)


class LinksSection(Section):
    """Live devices, and how their readings become series: `[links]`."""

    devices: tuple[DeviceSection, ...] = ()
    quantities: dict[str, str] = {"load": LOAD, "weather": TEMPERATURE}  # noqa: RUF012 - pydantic copies defaults
    store_seconds: Annotated[float, Field(gt=0, le=300)] = 5.0
    settle_seconds: Annotated[float, Field(ge=0)] = 30.0
    hold_hours: Annotated[float, Field(gt=0, le=168)] = 24.0
    least_covered: Annotated[float, Field(gt=0, le=1)] = 0.5
    spool_mb: Annotated[float, Field(ge=1)] = 256.0
    when_full: Literal["refuse", "drop_oldest"] = "refuse"
    first_wait_seconds: Annotated[float, Field(gt=0)] = 1.0
    longest_wait_seconds: Annotated[float, Field(gt=0)] = 60.0

    @field_validator("devices")
    @classmethod
    def _names_differ(cls, devices: tuple[DeviceSection, ...]) -> tuple[DeviceSection, ...]:
        names = [device.name for device in devices]
        if len(set(names)) < len(names):
            raise InvalidInput("two devices of one name", got=names, where="links.devices")
        return devices

    @field_validator("quantities")
    @classmethod
    def _quantities_are_known(cls, quantities: dict[str, str]) -> dict[str, str]:
        for name in quantities.values():
            dimension_of(name)
        return quantities

    @model_validator(mode="after")
    def _waits_are_in_order(self) -> Self:
        if self.first_wait_seconds > self.longest_wait_seconds:
            raise InvalidInput("the first wait is longer than the longest", where="links.first_wait_seconds")
        return self
