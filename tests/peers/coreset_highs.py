# SPDX-License-Identifier: Apache-2.0
"""HiGHS as the solver of the strategy coreset, in the Python of the peers: coreset_highs.py BUILD"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
CHECK = os.path.join(HERE, "..", "golden", "solvers.py")
sys.exit(subprocess.run([sys.executable, "-B", CHECK, os.path.join(sys.argv[1], "tools", "dfal"), "highs"], check=False).returncode)
