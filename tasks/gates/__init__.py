"""Rules on measured numbers, and the verdicts they give."""
