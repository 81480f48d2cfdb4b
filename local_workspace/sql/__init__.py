"""Statements from order to stored result, whatever the front end they came by."""
