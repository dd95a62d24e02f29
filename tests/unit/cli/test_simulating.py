"""`simulate` and `pricing evaluate`: what they print, and how they end."""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.cli import simulating
from adapters.cli.failures import ExitCode
