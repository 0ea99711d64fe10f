"""What the operating system gives and takes: locks, scratch folders, process groups, memory, disk, foreign programs."""
