"""The demo model: the generator of its texts, the script that trains it, and the committed checkpoint."""
