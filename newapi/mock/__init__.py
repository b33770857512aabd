"""A local provider for tests, demonstrations and benchmarks: OpenAI, Anthropic and Gemini over one port.

Pure ASGI, no Django, no database. `knobs.py` lists what it can be told to do wrong.
"""
