"""What a command tells when it cannot do its work."""


class Problem(Exception):
    """A text for the person at the keyboard: what is wrong, and the way out."""
