"""What the verbs with a power meter share: options, and opening one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from ..host.power import METERS, Meter, open_meter

_CONNECTION = (
    click.option("--meter-port", metavar="PORT", help="Where it is: a serial port, or BUS:ADDRESS of I2C."),
    click.option("--volts", type=click.FloatRange(0, min_open=True), help="Supply of a board at a ppk2 or lpm01a."),
    click.option("--shunt", metavar="OHM", type=click.FloatRange(0, min_open=True), help="Resistor at an ina."),
)


def meter_options(help: str) -> Callable[[Any], Any]:
    """--meter, with what it is for, and --meter-port, --volts, --shunt: how it is connected."""

    def add(command: Any) -> Any:
        for option in reversed(_CONNECTION):
            command = option(command)
        return click.option("--meter", "-m", type=click.Choice(list(METERS)), help=help)(command)

    return add


@contextmanager
def metered(
    name: str, port: str | None, volts: float | None, shunt: float | None, source: bool = True
) -> Iterator[Meter]:
    """An open meter; arguments as of open_meter. What it lacks or can't take is wrong use."""
    try:
        meter = open_meter(name, port, volts, shunt, source)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    try:
        yield meter
    finally:
        meter.close()
