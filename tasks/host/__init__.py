"""The host: locks, scratch folders, process groups, memory, disk, and foreign programs run as children."""
