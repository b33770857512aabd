"""One model call, start to finish. The only place that sees every app.

lane → views → parse → passport → policy → ADMIT → relay → SETTLE. See docs/ARCHITECTURE.md.
"""
