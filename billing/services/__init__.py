"""Every write of the billing app. Keyword-only, atomic."""
