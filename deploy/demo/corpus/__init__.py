"""Seeded text for the demo model: training, calibration and evaluation share no phrasing and no held-out fact."""
