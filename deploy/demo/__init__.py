"""The demo model: the text it is made of, the script that trains it, and the committed checkpoint."""
