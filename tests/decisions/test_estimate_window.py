"""Estimates are evaluated over a window."""

import pytest

from headrace.operators.decisions.estimate_window import EstimateWindow


def test_quality_is_that_of_the_last_estimates():
    window = EstimateWindow((0.1, 0.5, 0.9), 2)
    assert window.quality() is None
    window.extend([((0.0, 0.0, 0.0), 100.0), ((1.0, 2.0, 4.0), 3.0), ((1.0, 2.0, 4.0), 5.0)])
    quality = window.quality()
    assert quality is not None
    assert quality.estimates == 2
    assert quality.coverage == 0.5
    assert quality.nominal == pytest.approx(0.8)
    assert quality.width == 3.0
    assert quality.absolute_error == 2.0
    # (.1*2 + .5*1 + .1*1) / 3 for the number 3, (.1*4 + .5*3 + .9*1) / 3 for the number 5.
    assert quality.pinball == pytest.approx(((0.2 + 0.5 + 0.1) + (0.4 + 1.5 + 0.9)) / 6)
