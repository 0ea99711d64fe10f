"""The native tools that the runtimes need: one folder for each, with the code that fetches, builds and caches it."""
