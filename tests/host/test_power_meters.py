"""Meters beside the PPK2, down to their registers and files; no such part was at hand."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import pyedge as pe
from pyedge.cli import _app as app
from pyedge.errors import (
    BoardNotFoundError,
    LinkError,
    MeasurementError,
    MissingToolError,
    UnsupportedError,
)
from pyedge.host.power import measure, open_meter
from pyedge.host.power.ina import PARTS, open_ina
from pyedge.host.power.linux import open_jetson, open_pi5, open_rapl
from pyedge.host.power.trace import PolledMeter


class Registers:
    """An I2C device that holds what was put into its registers."""

    def __init__(self, contents: dict[int, bytes]) -> None:
        self.contents = contents
        self.written: dict[int, bytes] = {}

    def read(self, register: int, count: int) -> bytes:
        assert len(self.contents[register]) == count
        return self.contents[register]

    def write(self, register: int, data: bytes) -> None:
        self.written[register] = data

    def close(self) -> None:
        self.contents = {}


def watts_of(meter: PolledMeter, seconds: float = 0.2) -> float:
    """Mean power of a record."""
    meter.start()
    time.sleep(seconds)
    trace = meter.stop()
    return float(trace.joules[-1] / (trace.times[-1] - trace.times[0]))


# 5 V and 50 mV over 0.1 ohm, 2.5 W, by the tables of the data sheets.
INA = {
    "ina219": ({1: (5000).to_bytes(2, "big"), 2: (1250 << 3 | 2).to_bytes(2, "big")}, (0, 0x399F)),
    "ina226": (
        {1: (20000).to_bytes(2, "big"), 2: (4000).to_bytes(2, "big"), 0xFE: b"TI", 0xFF: b"\x22\x60"},
        (0, 0x4127),
    ),
    "ina228": (
        {
            4: (160000 << 4).to_bytes(3, "big"),
            5: (25600 << 4).to_bytes(3, "big"),
            0x3E: b"TI",
            0x3F: b"\x22\x81",
        },
        (1, 0xBB68),
    ),
}


@pytest.mark.parametrize("part", PARTS)
def test_power_from_the_registers_of_an_ina(part):
    """Voltage times current, and continuous conversion is switched on."""
    contents, (register, word) = INA[part]
    bus = Registers(contents)
    meter = open_ina(part, bus, 0.1)
    assert watts_of(meter) == pytest.approx(2.5, rel=1e-6)
    assert bus.written == {register: word.to_bytes(2, "big")}
    meter.close()
    assert bus.contents == {}


def test_a_current_that_flows_back_is_negative():
    """The shunt voltage is signed: -50 mV."""
    contents = INA["ina226"][0] | {1: (-20000).to_bytes(2, "big", signed=True)}
    assert watts_of(open_ina("ina226", Registers(contents), 0.1)) == pytest.approx(-2.5, rel=1e-6)


def test_a_current_over_the_range_of_an_ina_is_no_measurement():
    """The shunt register stands at its end."""
    meter = open_ina("ina226", Registers(INA["ina226"][0] | {1: b"\x7f\xff"}), 0.1)
    with pytest.raises(MeasurementError, match="over its range"):
        watts_of(meter)


def test_another_part_at_the_address_is_refused():
    """An INA228 where an INA226 was named."""
    contents = INA["ina226"][0] | {0xFF: b"\x22\x80"}
    with pytest.raises(UnsupportedError, match="identity 0x2280"):
        open_ina("ina226", Registers(contents), 0.1)


def write(folder: Path, **files: object) -> Path:
    """Files as sysfs has them."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(f"{content}\n")
    return folder


def test_rapl_counts_packages_once_and_wraps(tmp_path):
    """Two packages; what is within one, and the platform that contains all, are not added."""
    packages = [
        write(tmp_path / f"intel-rapl:{i}", name=f"package-{i}", energy_uj=9_500_000, max_energy_range_uj=9_999_999)
        for i in range(2)
    ]
    write(tmp_path / "intel-rapl:0:0", name="core", energy_uj=1, max_energy_range_uj=9_999_999)
    write(tmp_path / "intel-rapl:2", name="psys", energy_uj=1, max_energy_range_uj=9_999_999)
    meter = open_rapl(tmp_path)
    meter.start()
    time.sleep(0.1)
    for package, energy in zip(packages, (500_000, 9_750_000), strict=True):
        (package / "energy_uj.new").write_text(f"{energy}\n")
        (package / "energy_uj.new").replace(package / "energy_uj")
    time.sleep(0.1)
    assert meter.stop().joules[-1] == pytest.approx(1.25)
    assert "2 CPU packages" in meter.covers


def test_a_session_here_by_a_counter_of_energy():
    """Two watts all the time: gross energy is two watts, net energy is none."""
    b = pe.GraphBuilder()
    b.output("y", b.relu(b.input("x", (1, 4), "float32")))
    meter = PolledMeter("steady", "two watts", 1e-4, joules=lambda: 2 * time.monotonic())
    energy = measure(meter, pe.Session(pe.compile(b.build())), windows=1)
    assert energy.gross_j == pytest.approx(2 * energy.seconds, rel=1e-3)
    assert abs(energy.net_j) < 2e-3 * energy.gross_j
    assert (energy.mark, energy.interval_j, energy.lost) == ("clock", None, 0)


def test_no_rapl_here(tmp_path):
    """As in a virtual machine."""
    with pytest.raises(UnsupportedError, match="no energy counters"):
        open_rapl(tmp_path)


def test_a_jetson_s_input_is_not_added_to_its_rails(tmp_path):
    """VDD_IN alone: 5 V and 1.5 A."""
    write(
        tmp_path / "hwmon3", name="ina3221", in1_label="VDD_IN", in1_input=5000, curr1_input=1500,
        in2_label="VDD_CPU_GPU_CV", in2_input=5000, curr2_input=700,
    )  # fmt: skip
    write(tmp_path / "hwmon0", name="tmp451", in1_input=1, curr1_input=1)
    meter = open_jetson(tmp_path)
    assert watts_of(meter) == pytest.approx(7.5)
    assert "VDD_IN" in meter.covers


def test_a_jetson_without_an_input_says_so(tmp_path):
    """The sum of the rails that there are."""
    write(
        tmp_path / "hwmon1", name="ina3221", in1_label="VDD_CPU", in1_input=5000, curr1_input=100,
        in2_label="VDD_SOC", in2_input=5000, curr2_input=200,
    )  # fmt: skip
    meter = open_jetson(tmp_path)
    assert watts_of(meter) == pytest.approx(1.5)
    assert "no input" in meter.covers
    with pytest.raises(UnsupportedError, match="no INA3221"):
        open_jetson(tmp_path / "hwmon1")


def test_the_rails_of_a_raspberry_pi_5(tmp_path, monkeypatch):
    """Rails with current and voltage are counted; the input, of which only the voltage is known, is not."""
    program = tmp_path / "vcgencmd"
    program.write_text(
        "#!/bin/sh\n[ $1 = pmic_read_adc ] || exit 1\ncat <<END\n"
        "     3V3_SYS_A current(1)=0.50000000A\n     VDD_CORE_A current(7)=1.00000000A\n"
        "     3V3_SYS_V volt(9)=3.30000000V\n     VDD_CORE_V volt(15)=0.80000000V\n"
        "     EXT5V_V volt(24)=5.10000000V\nEND\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    meter = open_pi5()
    assert watts_of(meter) == pytest.approx(2.45)
    assert "not the input" in meter.covers
    program.write_text("#!/bin/sh\necho 'error=1 error_msg=\"Command not registered\"'\n")
    with pytest.raises(LinkError, match="no rails"):
        open_pi5()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingToolError, match="no vcgencmd"):
        open_pi5()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("ppk2",), BoardNotFoundError),
        (("ppk2", "/dev/null"), ValueError),
        (("ina226", "one:two", None, 0.1), ValueError),
        (("ina226", "1:0x40"), ValueError),
        (("ina226", "9999:0x40", None, 0.1), BoardNotFoundError),
        (("wattmeter", "x"), ValueError),
    ],
)
def test_a_meter_that_is_not_enough_described(arguments, error):
    """What is missing is said, with what to try."""
    with pytest.raises(error, match=r"try:|there are"):
        open_meter(*arguments)


def test_the_command_asks_for_what_is_missing(tmp_path, capsys):
    """Wrong use is exit code 2."""
    b = pe.GraphBuilder()
    b.output("y", b.relu(b.input("x", (1, 4), "float32")))
    pe.compile(b.build()).save(tmp_path / "relu.pedge")
    assert app.run(["power", str(tmp_path / "relu.pedge"), "-m", "ppk2", "--meter-port", "x"]) == 2
    assert "--volts 3.3" in capsys.readouterr().err
