"""Serving endpoints and the processes of their models."""
