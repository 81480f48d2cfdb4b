"""Pages for people: plain HTML made here, with nothing to run in a browser."""
