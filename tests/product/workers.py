"""More web workers beside the running product, each at an address of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import requests

from tests.processes import ROOT, START_S, free_port, until
from tests.product.conftest import Product


@contextmanager
def running_workers(product: Product, count: int = 3) -> Iterator[list[str]]:
    """Start so many for the block and give their URLs."""
    started, urls = [], []
    try:
        for _ in range(count):
            port = free_port()
            command = ["-m", "uvicorn", "newapi.asgi:application", "--port", str(port), "--log-level", "warning"]
            started.append(subprocess.Popen([sys.executable, *command], cwd=ROOT, env={**os.environ, **product.env}))
            urls.append(f"http://127.0.0.1:{port}")
        for url in urls:
            until(lambda url=url: requests.get(f"{url}/livez", timeout=1).ok, within_s=START_S, what="a worker")
        yield urls
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(timeout=30)
