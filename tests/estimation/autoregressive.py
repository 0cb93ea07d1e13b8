"""Series with known correlation in time."""

import numpy as np
from scipy.signal import lfilter


def autoregressive(steps: int, phi: float, series: int, seed: int = 0, heavy: bool = False) -> np.ndarray:
    """[series, steps] stationary AR(1) with mean 0 and unit innovations, normal or Student's t with 3 degrees of freedom."""
    rng = np.random.default_rng(seed)
    shape = (series, steps + 300)
    noise = rng.standard_t(3, shape) / np.sqrt(3) if heavy else rng.standard_normal(shape)
    return lfilter([1], [1, -phi], noise)[:, 300:]
