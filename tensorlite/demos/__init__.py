"""Small things to run: ``tensorlite demo NAME``."""
