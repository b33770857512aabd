"""Every write of the moderation app. Keyword-only, atomic."""
