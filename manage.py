#!/usr/bin/env python
"""The one command-line door of the project: `python manage.py help` lists what it opens."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "newapi.settings.embedded")
    execute_from_command_line(sys.argv)
