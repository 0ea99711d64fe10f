"""What keeps the store clean between releases."""
