"""Seeded text for the demo model: training, calibration and evaluation documents that share no phrasing and no held-out fact."""
