"""What `serve` prints for people."""

import json
from typing import Any


class NoDemo(ValueError):
    """The demo command printed something else than its one JSON object."""


def parse_demo(lines: list[str]) -> dict[str, Any]:
    """Return the JSON object among the lines that `manage.py demo --json` printed. Raises NoDemo."""
    for line in reversed(lines):
        if line.startswith("{"):
            try:
                return json.loads(line)
            except ValueError:
                break
    raise NoDemo("the demo command printed no JSON object")


def demo(made: dict[str, Any], url: str) -> str:
    """Return the lines that a newcomer needs: logins, a key, and a call that works when pasted."""
    question = {"model": made["models"][0], "messages": [{"role": "user", "content": "Hello!"}]}
    return "\n".join(
        (
            "",
            f"  Open      {url}/",
            f"  Admin     {url}/admin/   {made['admin_user']}   password {made['admin_password']}",
            f"  Member    {url}/   {made['member_user']}   password {made['member_password']}",
            f"  API key   {made['api_key']}",
            f"  Base URL  {url}/v1   models: {', '.join(made['models'])}",
            "",
            "  Try it in another terminal:",
            "",
            f"curl {url}/v1/chat/completions -H 'Authorization: Bearer {made['api_key']}' "
            f"-H 'Content-Type: application/json' -d '{json.dumps(question)}'",
            "",
            "  Ctrl-C stops everything; the data stays.",
            "",
        )
    )
