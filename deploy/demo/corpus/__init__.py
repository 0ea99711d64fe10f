"""Generates seeded texts for the demo model: for training, for calibration and for evaluation.

These three splits share no phrasing and no combination of facts.
"""
