#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""HiGHS as a solver of dfal: dfal select ... --strategy coreset --solver "python3 solver_highs.py" (pip install highspy)"""
import sys

import highspy

model, solution, nodes, seconds = sys.argv[1:5]
highs = highspy.Highs()
for option, value in {"threads": 1, "mip_max_improving_sols": 1, "mip_max_nodes": int(nodes), "time_limit": float(seconds)}.items():
    highs.setOptionValue(option, value)
highs.readModel(model)
highs.run()
highs.writeSolution(solution, 0)
