"""Web applications over run directories and reviews; needs the extra `serve`."""
