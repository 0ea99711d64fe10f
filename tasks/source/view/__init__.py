"""Settles what is true of a source, and writes it as the view on which every converter and the reference work."""
