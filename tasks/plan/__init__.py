"""The plan of a release: which targets will be made, decided before any conversion begins."""
