"""RUN -> HTTP API and one page."""
