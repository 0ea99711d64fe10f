"""Tasks that keep the store clean between releases."""
