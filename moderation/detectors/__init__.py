"""Detectors of misuse: each a small judgement of counters. None sees the text of a call, or how a client is named."""
