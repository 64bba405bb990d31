# SPDX-License-Identifier: Apache-2.0
"""Tests of the command `imgsim`: cli_test.py --command build/bin/imgsim [CASE...]"""

# Each module adds its cases.
import cases_catalog  # noqa: F401
import cases_failures  # noqa: F401
import cases_features  # noqa: F401
import cases_scan  # noqa: F401
import cases_search  # noqa: F401
import cases_usage  # noqa: F401
import harness

if __name__ == "__main__":
    harness.main()
