"""The simulated Power Profiler Kit II before ppk2-api, which is not ours: it is what that client takes for a kit."""

import time

import numpy as np
import pytest
from ppk2_api.ppk2_api import PPK2_API

from .ppk2_sim import RESISTORS, Ppk2Sim


def test_ppk2_api_reads_the_simulator():
    """Calibration, voltage, supply, currents and the digital input."""
    with Ppk2Sim() as sim:
        kit = PPK2_API(sim.path, timeout=1)
        kit.get_modifiers()
        kit.use_source_meter()
        kit.set_source_voltage(3300)
        kit.toggle_DUT_power("ON")
        kit.start_measuring()
        data = b""
        while len(data) < 4 * 20_000:  # two pulses and more
            data += kit.get_data()
            time.sleep(0.01)
        kit.stop_measuring()
        kit.ser.close()
    amps, bits = kit.get_samples(data[: 4 * 20_000])
    assert [kit.modifiers["R"][str(i)] for i in range(5)] == pytest.approx(list(RESISTORS))
    assert (sim.millivolts, sim.powered) == (3300, True)
    on = np.array(bits) & 1 == 1
    assert on.sum() == 4000
    assert np.median(np.array(amps)[on]) == pytest.approx(25e3, rel=2e-3)  # microamperes
    assert np.median(np.array(amps)[~on]) == pytest.approx(5e3, rel=5e-3)
