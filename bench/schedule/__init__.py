"""How long a measured release would take on more cores, and how close its schedule comes to the best possible one."""
