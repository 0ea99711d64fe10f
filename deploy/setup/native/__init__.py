"""The native tools that the runtimes need: one folder for each, with how it is fetched, built and cached."""
