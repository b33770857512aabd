"""Every write of the channels app. Keyword-only, atomic."""
