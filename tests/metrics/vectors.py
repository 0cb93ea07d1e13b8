"""Three gradients in a plane, worked by hand."""

from __future__ import annotations

import numpy as np

# g_head = (3, 0), g_tail = (0, 4), rest = (0, -1): g = (3, 3).
VECTORS = np.array([[3.0, 0.0], [0.0, 4.0], [0.0, -1.0]])


ROOT2 = 2**0.5
