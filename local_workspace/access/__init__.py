"""Who may call, and with what: tokens, signed links."""
